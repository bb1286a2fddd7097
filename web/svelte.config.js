import { vitePreprocess } from "@sveltejs/vite-plugin-svelte";

// A drawn map is a picture (ARIA has role img for canvas), and what scrolls must be reached by
// keyboard (WCAG 2.1.1): two warnings that say otherwise are not for us.
const NOT_FOR_US = new Set(["a11y_no_noninteractive_tabindex", "a11y_no_interactive_element_to_noninteractive_role"]);

export default {
  preprocess: vitePreprocess(),
  compilerOptions: { warningFilter: (warning) => !NOT_FOR_US.has(warning.code) },
};
