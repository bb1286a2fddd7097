import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

// One script and one style sheet, in the Python package. The pages ask their own server alone,
// under a policy that allows no inline script or style.
export default defineConfig({
  plugins: [svelte()],
  base: "/",
  build: {
    outDir: "../src/vitreous/server/static",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: false,
    target: "es2022",
  },
});
