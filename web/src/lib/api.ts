// What is asked, and of whom: of the server, which computes what we draw, or, in a report opened
// from a file, of the values that it carries (walk.ts).
import type { components } from "../schema";
import { decodePack, type Pack } from "./pack";

type Schemas = components["schemas"];
export type RunSummary = Schemas["RunSummary"];
/** What the views that need no server know of the run. */
export type RunShown = Pick<RunSummary, "network" | "parameters" | "input_shape" | "samples_missing" | "trial"> & {
  task?: RunSummary["task"]; // a report's walk does without these
  scan?: RunSummary["scan"];
};
export type SampleRow = Schemas["SampleRow"];
export type SampleList = Schemas["SampleList"];
export type Answer = Schemas["Answer"];
export type Traces = Schemas["Traces"];
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
export type MapShares = Schemas["MapShares"];
export type OneAnswer = Schemas["OneAnswer"];
export type WithoutMap = Schemas["WithoutMap"];
export type PatchIndexing = Schemas["PatchIndexing"];
export type Patches = Schemas["Patches"];
export type Value = number | string; // "nan", "inf" and "-inf" are text

type Parameters = Record<string, string | number | undefined>;

/** Whether the answers say what is where, so that one of them is chosen to be explained. */
export function isPlaced(run: RunShown): boolean {
  return run.task === "segment" || run.task === "detect";
}

/** Who answers where there is no server. */
export interface Source {
  get(path: string, parameters: Parameters): Promise<unknown>;
  pack(path: string, parameters: Parameters): Promise<Pack>;
  picture(sample: string): string;
}

let source: Source | null = null;

export function answerFrom(own: Source): void {
  source = own;
}

/** Whether there is a server, which knows more than a report carries. */
export function isServed(): boolean {
  return source === null;
}

const KEPT = 80; // answers; a sample's numbers never change while the server runs
const kept = new Map<string, Promise<unknown>>();

export function address(path: string, parameters: Parameters = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters))
    if (value !== undefined && value !== "") query.set(name, String(value));
  if (source && path === "picture") return source.picture(String(parameters.sample));
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
  return once(url, async () => (source ? source.get(path, parameters) : (await asked(url)).json()) as Promise<T>);
}

export function getPack(path: string, parameters: Parameters = {}): Promise<Pack> {
  const url = address(path, parameters);
  return once(url, async () => (source ? source.pack(path, parameters) : decodePack(await (await asked(url)).arrayBuffer())));
}

/** An answer that changes: never kept. */
export async function fresh<T>(path: string): Promise<T> {
  return (await asked(address(path))).json() as Promise<T>;
}

/** Ask for something to be done. */
export async function send<T>(path: string): Promise<T> {
  return (await asked(address(path), { method: "POST" })).json() as Promise<T>;
}

export async function sendPicture(file: Blob): Promise<SampleRow> {
  const response = await asked("/api/pictures", { method: "POST", body: file });
  return response.json() as Promise<SampleRow>;
}
