// A report's own answers, where there is no server: from the layers' values that it carries.
import type { Cell, CellStep, Network, RefusedStep, RunShown, Source, SourceTerm, Value, Window } from "./api";
import { isVector, plane as planeOf } from "./axes";
import { count, placeOf } from "./indices";
import type { Block, Pack } from "./pack";
import { Refused, RULES, type Made, type Numbers, type Operand, type Operation, type Place } from "./rules";

type Axis = { axis: number | null; first: number[]; last: number[] };
type Held = { shape: number[]; offset: number };

export type WalkSample = {
  sample_id: string;
  truth: string;
  predicted: string;
  confidence: number | null;
  wrong: boolean | null;
  picture: string | null; // an address that needs no request
  values: Record<string, number>; // layer -> where its numbers begin
};

export type Carried = {
  run: RunShown;
  network: Network;
  operations: Operation[];
  tensors: Record<string, Held>;
  fields: Record<string, Axis[]>;
  fields_exact: Record<string, boolean>;
  samples: WalkSample[];
  numbers: string; // float32, little-endian, in base64
};

type Asked = Record<string, string | number | undefined>;

const MOST_SOURCES = 24; // these three as the server has them
const MOST_PLANES = 6;
const LARGEST_WINDOW = 400;
const CHANNELS_A_STOREY = 6;

export class Walk implements Source {
  readonly samples: WalkSample[];
  readonly run: Carried["run"];
  readonly network: Network;
  #numbers: Float32Array | null = null;
  #operations: Map<string, Operation>;
  #shapes: Map<string, number[]>;

  constructor(readonly carried: Carried) {
    this.samples = carried.samples;
    this.run = carried.run;
    this.network = carried.network;
    this.#operations = new Map(carried.operations.map((one) => [one.name, one]));
    this.#shapes = new Map(carried.network.layers.map((one) => [one.name, one.shape]));
  }

  picture(sample: string): string {
    return this.samples.find((one) => one.sample_id === sample)?.picture ?? "";
  }

  async get(path: string, asked: Asked): Promise<unknown> {
    if (path === "network") return this.network;
    if (path === "cell") return this.cell(asked);
    throw new Error(`this file has no ${path}; \`vitreous serve\` shows it`);
  }

  async pack(path: string, asked: Asked): Promise<Pack> {
    const layer = String(asked.layer ?? "");
    if (path === "numbers") return this.numbersOf(asked, layer);
    if (path === "maps") return this.maps(asked, layer);
    if (path === "kernels") return this.kernels(layer);
    if (path === "storeys") return this.storeys(asked);
    throw new Error(`this file has no ${path}; \`vitreous serve\` shows it`);
  }

  cell(asked: Asked): Cell {
    const layer = String(asked.layer);
    const sample = this.#sample(asked);
    const index = String(asked.at).split(",").filter(Boolean).map(Number);
    const storey = this.network.storeys.find((one) => one.layers.includes(layer));
    const shape = this.#shapes.get(layer);
    if (!storey || !shape) throw new Error(`there is no layer '${layer}' to open in this network`);
    if (index.length !== shape.length || index.some((place, axis) => !(place >= 0 && place < shape[axis]!)))
      throw new Error(`${layer} is ${shape.join(" x ")}: it has no cell ${index.join(", ")}`);
    const seen = this.carried.fields[layer]!.map((axis) => {
      const place = axis.axis === null ? 0 : index[axis.axis]!;
      return [axis.first[place]!, axis.last[place]!];
    });
    return {
      layer,
      index,
      shape,
      storey: storey.name,
      steps: storey.layers.map((name) => this.#step(sample, name, index, asked.plane)),
      field: seen.every(([first, last]) => first! <= last!) ? seen : null,
      field_exact: this.carried.fields_exact[layer]!,
    };
  }

  #step(sample: WalkSample, name: string, index: number[], plane: Asked[string]): CellStep | RefusedStep {
    const operation = this.#operations.get(name)!;
    const own = this.#value(sample, name);
    const place: Place = {
      operation,
      shape: own.shape,
      index,
      has: (argument) => argument in operation.inputs || argument in operation.parameters,
      read: (argument) => {
        const from = operation.inputs[argument] ?? (operation.operation === "input" ? "input" : undefined);
        return from === undefined ? this.#tensor(operation.parameters[argument]!) : this.#value(sample, from);
      },
    };
    try {
      const rule = RULES[operation.operation];
      if (!rule) throw new Refused("this file has not its arithmetic; `vitreous serve` shows it");
      return shown(name, operation.operation, own.values[placeOf(own.shape, index)]!, rule(place), plane);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return { node: name, operation: operation.operation, refused: `${name}: the terms of ${operation.operation} cannot be shown here, because ${error.message}` };
    }
  }

  numbersOf(asked: Asked, layer: string): Pack {
    const one = this.#layer(layer);
    const value = this.#value(this.#sample(asked), layer);
    if (isVector(one)) return pack([block("numbers", value.values, [1, value.values.length])]);
    const { maps, height, width } = this.#maps(asked, layer);
    const channel = Number(asked.channel);
    return pack([block("numbers", maps[channel]!, [height, width], [channel])]);
  }

  maps(asked: Asked, layer: string): Pack {
    const { maps, height, width } = this.#maps(asked, layer);
    const activity = maps.map(meanSize);
    const named = String(asked.channels ?? "").split(",").filter(Boolean).map(Number);
    const first = Number(asked.first ?? 0);
    const chosen = named.length ? named : strongest(activity).slice(first, first + Number(asked.count ?? 64));
    const whole = block("maps", join(chosen.map((channel) => maps[channel]!)), [chosen.length, height, width], chosen);
    return { blocks: [{ ...whole, limit: Math.max(...maps.map(largest)) }], activity };
  }

  storeys(asked: Asked): Pack {
    const shown = this.network.storeys.filter((storey) => {
      return !storey.minor && this.#shapes.get(storey.name)!.length <= 3;
    });
    return pack(
      shown.map((storey) => {
        const { maps, height, width } = this.#maps(asked, storey.layers.at(-1)!);
        if (height * width === 1) return block(storey.name, join(maps), [1, 1, maps.length]);
        const chosen = strongest(maps.map(meanSize)).slice(0, CHANNELS_A_STOREY);
        return block(storey.name, join(chosen.map((channel) => maps[channel]!)), [chosen.length, height, width], chosen);
      }),
    );
  }

  /** Kernels: in colour over three channels, else of each the plane with the largest norm. */
  kernels(layer: string): Pack {
    const { shape, values } = this.#tensor(this.#operations.get(layer)!.parameters.weight!);
    const [kernels = 0, planes = 1] = shape;
    const [height, width] = shape.length === 3 ? [1, shape[2]!] : [shape[2]!, shape[3]!];
    const cells = height * width;
    const plane = (kernel: number, number: number) => values.subarray((kernel * planes + number) * cells, (kernel * planes + number + 1) * cells);
    const limit = largest(values);
    if (planes === 3) {
      const bytes = new Uint8Array(kernels * cells * 3);
      for (let kernel = 0; kernel < kernels; kernel++)
        for (let cell = 0; cell < cells; cell++)
          for (let colour = 0; colour < 3; colour++)
            bytes[(kernel * cells + cell) * 3 + colour] = Math.round(127.5 + (127.5 * plane(kernel, colour)[cell]!) / (limit || 1));
      return pack([{ name: "kernels", kind: "colour", shape: [kernels, height, width, 3], offset: 0, limit, channels: [], values: bytes }]);
    }
    const chosen = Array.from({ length: kernels }, (_, kernel) => {
      const norms = Array.from({ length: planes }, (_, number) => plane(kernel, number).reduce((sum, one) => sum + one * one, 0));
      return norms.indexOf(Math.max(...norms));
    });
    const whole = block("kernels", join(chosen.map((number, kernel) => plane(kernel, number))), [kernels, height, width], chosen);
    return pack([{ ...whole, limit }]);
  }

  #sample(asked: Asked): WalkSample {
    const found = this.samples.find((one) => one.sample_id === asked.sample);
    if (!found) throw new Error(`this file does not carry the sample '${asked.sample}'`);
    return found;
  }

  #layer(name: string) {
    const found = this.network.layers.find((one) => one.name === name);
    if (!found) throw new Error(`there is no layer '${name}' to open in this network`);
    return found;
  }

  /** A layer's channels, whichever axis holds them; a vector has one cell a channel. */
  #maps(asked: Asked, layer: string): { maps: Float32Array[]; height: number; width: number } {
    const one = this.#layer(layer);
    const { shape, values } = this.#value(this.#sample(asked), layer);
    const [height, width] = isVector(one) ? [1, 1] : planeOf(one);
    const channels = shape[one.channel_axis] ?? 1;
    const cells = height * width;
    if (one.channel_axis === 0)
      return { maps: Array.from({ length: channels }, (_, at) => values.subarray(at * cells, (at + 1) * cells)), height, width };
    const inner = count(shape.slice(one.channel_axis + 1));
    const maps = Array.from({ length: channels }, () => new Float32Array(cells));
    values.forEach((value, at) => {
      const outer = Math.floor(at / (inner * channels));
      maps[Math.floor(at / inner) % channels]![outer * inner + (at % inner)] = value;
    });
    return { maps, height, width };
  }

  #value(sample: WalkSample, layer: string): Numbers {
    const shape = this.#shapes.get(layer)!;
    return { shape, values: this.#at(sample.values[layer]!, count(shape)) };
  }

  #tensor(name: string): Numbers {
    const { shape, offset } = this.carried.tensors[name]!;
    return { shape, values: this.#at(offset, count(shape)) };
  }

  #at(offset: number, size: number): Float32Array {
    this.#numbers ??= decoded(this.carried.numbers);
    return this.#numbers.subarray(offset, offset + size);
  }
}

function decoded(text: string): Float32Array {
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let at = 0; at < bytes.length; at++) bytes[at] = characters.charCodeAt(at);
  return new Float32Array(bytes.buffer);
}

/** A step as the server would send it. */
function shown(node: string, operation: string, computed: number, made: Made, plane: Asked[string]): CellStep {
  const terms = termsOf(made);
  const all = made.winner === null ? made.operands.reduce((sum, one) => sum + one.values.length, 0) : 1;
  const products = terms.filter((term) => term.product !== null).map((term) => term.product as number);
  const isSum = products.length > 0 && all > terms.length;
  const difference = computed - made.total;
  return {
    node,
    operation,
    formula: made.formula,
    computed: plain(computed),
    expected: plain(made.total),
    difference: plain(difference),
    tolerance: plain(made.tolerance),
    within: computed === made.total || Math.abs(difference) <= made.tolerance,
    bias: made.bias === null ? null : plain(made.bias),
    numbers: Object.fromEntries(Object.entries(made.numbers).map(([name, value]) => [name, plain(value)])),
    sources: terms.map(({ value, weight, product, ...rest }) => ({
      ...rest,
      value: plain(value),
      weight: weight === null ? null : plain(weight),
      product: product === null ? null : plain(product),
    })),
    rest: isSum ? plain(made.total - products.reduce((sum, one) => sum + one, 0) - (made.bias ?? 0)) : null,
    rest_count: all - terms.length,
    reads: made.operands.map(readBox).filter((one) => one !== null),
    window: windowOf(made, plane),
  };
}

type Term = Omit<SourceTerm, "value" | "weight" | "product"> & { value: number; weight: number | null; product: number | null };

/** The numbers that a cell was made of, the largest products first; of a choice the winner alone. */
function termsOf(made: Made): Term[] {
  if (made.winner !== null) return [termOf(made.operands[0]!, made.winner)];
  const all = made.operands.flatMap((one) => one.values.map((_, number) => [one, number] as const));
  const size = ([one, number]: readonly [Operand, number]) => Math.abs(one.values[number]! * (one.weights?.[number] ?? 1));
  return all
    .map((entry) => ({ entry, size: size(entry) }))
    .sort((one, other) => other.size - one.size)
    .slice(0, MOST_SOURCES)
    .map(({ entry }) => termOf(...entry));
}

function termOf(one: Operand, number: number): Term {
  const index = one.node === null ? null : one.indices[number]!;
  const value = one.values[number]!;
  const weight = one.weights?.[number] ?? null;
  return { node: index && one.node, index, role: one.role, value, weight, product: weight === null ? null : value * weight };
}

/** The box around the cells that are read of an earlier layer. */
function readBox(one: Operand): { node: string; box: number[][] } | null {
  const real = one.indices.filter((index) => index !== null);
  if (one.node === null || !real.length) return null;
  const box = real[0]!.map((_, axis) => {
    const places = real.map((index) => index[axis]!);
    return [places.reduce((a, b) => Math.min(a, b)), places.reduce((a, b) => Math.max(a, b))];
  });
  return { node: one.node, box };
}

function windowOf(made: Made, wanted: Asked[string]): Window | null {
  const laid = made.laid;
  if (!laid || laid.sources.length > LARGEST_WINDOW) return null;
  const shared = {
    node: made.operands[0]!.node,
    space: laid.space,
    positions: laid.positions,
    sources: laid.sources,
    channels: laid.channels,
  };
  if (made.winner !== null) {
    const only = { channel: laid.channels[0]!, window: laid.planes[0]!.window.map(plain), kernel: [], products: [] };
    return { ...shared, kind: "maximum", channel_sums: [], planes: [only], winner: made.operands[0]!.indices[made.winner]! };
  }
  const sums = laid.planes.map(({ window, kernel }) => window.reduce((sum, value, at) => sum + value * kernel[at]!, 0));
  const order = strongest(sums.map(Math.abs)).slice(0, MOST_PLANES);
  const asked = wanted === undefined || wanted === "" ? -1 : laid.channels.indexOf(Number(wanted));
  if (asked >= 0 && !order.includes(asked)) order.push(asked);
  return {
    ...shared,
    kind: "sum",
    channel_sums: sums.map(plain),
    planes: order.map((number) => {
      const { window, kernel } = laid.planes[number]!;
      return {
        channel: laid.channels[number]!,
        window: window.map(plain),
        kernel: kernel.map(plain),
        products: window.map((value, at) => plain(value * kernel[at]!)),
      };
    }),
    winner: null,
  };
}

/** A number as JSON would have it. */
function plain(value: number): Value {
  if (Number.isFinite(value)) return value;
  return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

function pack(blocks: Block[]): Pack {
  return { blocks, activity: [] };
}

function block(name: string, values: Float32Array, shape: number[], channels: number[] = []): Block {
  return { name, kind: "numbers", shape, offset: 0, limit: largest(values), channels, values };
}

function join(parts: Float32Array[]): Float32Array {
  const whole = new Float32Array(parts.reduce((sum, one) => sum + one.length, 0));
  let place = 0;
  for (const part of parts) {
    whole.set(part, place);
    place += part.length;
  }
  return whole;
}

function largest(values: ArrayLike<number>): number {
  let found = 0;
  for (let at = 0; at < values.length; at++) {
    const size = Math.abs(values[at]!);
    if (size > found && Number.isFinite(size)) found = size;
  }
  return found;
}

function meanSize(values: Float32Array): number {
  return values.reduce((sum, value) => sum + Math.abs(value), 0) / values.length;
}

/** Places by their values, the largest first, the earlier of equals. */
function strongest(values: number[]): number[] {
  return values.map((_, at) => at).sort((one, other) => values[other]! - values[one]!);
}

