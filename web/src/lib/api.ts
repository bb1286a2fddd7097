// What the server answers. It computes, we draw: no number is made here.
import type { components } from "../schema";
import { decodePack, type Pack } from "./pack";

type Schemas = components["schemas"];
export type RunSummary = Schemas["RunSummary"];
export type SampleRow = Schemas["SampleRow"];
export type SampleList = Schemas["SampleList"];
export type Answer = Schemas["Answer"];
export type Network = Schemas["Network"];
export type Layer = Schemas["Layer"];
export type Storey = Schemas["Storey"];
export type Cell = Schemas["Cell"];
export type CellStep = Schemas["CellStep"];
export type RefusedStep = Schemas["RefusedStep"];
export type SourceTerm = Schemas["SourceTerm"];
export type Window = Schemas["Window"];
export type Plane = Schemas["Plane"];
export type Training = Schemas["Training"];
export type Errors = Schemas["Errors"];
export type WhyMethods = Schemas["WhyMethods"];
export type Attribution = Schemas["Attribution"];
export type AttributionCheck = Schemas["AttributionCheck"];
export type Value = number | string; // "nan", "inf" and "-inf" are text

type Parameters = Record<string, string | number | undefined>;

const KEPT = 80; // answers; a sample's numbers never change while the server runs
const kept = new Map<string, Promise<unknown>>();

export function address(path: string, parameters: Parameters = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters))
    if (value !== undefined && value !== "") query.set(name, String(value));
  const text = query.toString();
  return `/api/${path}${text && "?"}${text}`;
}

let pending = 0;

/** How many answers are awaited, for those who wait until the page is whole. */
function awaited(change: 1 | -1): void {
  pending += change;
  document.documentElement.dataset.pending = String(pending);
}

async function asked(url: string, options?: RequestInit): Promise<Response> {
  let response: Response;
  awaited(1);
  try {
    response = await fetch(url, options);
  } catch {
    throw new Error("the server does not answer; is `vitreous serve` still running?");
  } finally {
    awaited(-1);
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  throw new Error(problem.error ?? `the server answered ${response.status}`);
}

function once<T>(key: string, make: () => Promise<T>): Promise<T> {
  const known = kept.get(key) as Promise<T> | undefined;
  if (known) {
    kept.delete(key); // to the end: the one not used for longest goes first
    kept.set(key, known);
    return known;
  }
  const made = make();
  kept.set(key, made);
  made.catch(() => kept.delete(key));
  if (kept.size > KEPT) kept.delete(kept.keys().next().value!);
  return made;
}

export function get<T>(path: string, parameters: Parameters = {}): Promise<T> {
  const url = address(path, parameters);
  return once(url, async () => (await asked(url)).json() as Promise<T>);
}

export function getPack(path: string, parameters: Parameters = {}): Promise<Pack> {
  const url = address(path, parameters);
  return once(url, async () => decodePack(await (await asked(url)).arrayBuffer()));
}

export async function sendPicture(file: Blob): Promise<SampleRow> {
  const response = await asked("/api/pictures", { method: "POST", body: file });
  return response.json() as Promise<SampleRow>;
}
