// Where one is: `#/cell?sample=...&layer=...&at=3,5,7`. Every state has such an address.
export const VIEWS = ["answer", "network", "layer", "cell", "why", "training", "errors"] as const;
export type View = (typeof VIEWS)[number];
export type Parameters = Record<string, string | number | undefined>;

function read(): { view: View; parameters: Record<string, string> } {
  const [path = "", query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const view = VIEWS.find((name) => name === path) ?? "answer";
  return { view, parameters: Object.fromEntries(new URLSearchParams(query)) };
}

class Route {
  view = $state<View>("answer");
  parameters = $state.raw<Record<string, string>>({});

  constructor() {
    this.follow();
    addEventListener("hashchange", () => this.follow());
  }

  get sample(): string {
    return this.parameters.sample ?? "";
  }

  /** The cell's place that is named in the address. */
  get at(): number[] {
    return (this.parameters.at ?? "").split(",").filter(Boolean).map(Number);
  }

  /** Be there, without an address of its own yet. */
  stand(view: View, parameters: Record<string, string>): void {
    this.view = view;
    this.parameters = parameters;
  }

  follow(): void {
    if (location.hash && !location.hash.startsWith("#/")) return; // a place of the page itself
    const found = read();
    this.view = found.view;
    this.parameters = found.parameters;
  }
}

export const route = new Route();

/** An address; the sample stays, all else is as given. */
export function href(view: View, parameters: Parameters = {}): string {
  const query = new URLSearchParams();
  const all: Parameters = { sample: route.sample, ...parameters };
  for (const [name, value] of Object.entries(all))
    if (value !== undefined && value !== "") query.set(name, String(value));
  const text = query.toString();
  return `#/${view}${text && "?"}${text}`;
}

/** Go there; `replace` where stepping would fill the history with every step. */
export function go(view: View, parameters: Parameters = {}, replace = false): void {
  const target = href(view, parameters);
  if (target === location.hash) return;
  if (replace) {
    history.replaceState(null, "", target);
    route.follow();
  } else location.hash = target;
}
