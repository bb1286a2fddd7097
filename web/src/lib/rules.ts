// What stands behind a cell, from the numbers that a report carries. One rule an operation; what is
// not here is refused by name, never guessed.
import { elementTolerance, FUNCTIONS, windowSum } from "./arithmetic";
import { count, grid, indexAt, placeOf, range } from "./indices";

export type Operation = {
  name: string;
  operation: string;
  inputs: Record<string, string>; // argument -> layer
  parameters: Record<string, string>; // argument -> tensor
  attributes: Record<string, unknown>;
};

/** An array without its batch axis. */
export type Numbers = { shape: number[]; values: Float32Array };

/** Cells of one argument: `indices` null is a zero of the padding, `node` null a weight. */
export type Operand = {
  node: string | null;
  role: string;
  indices: (number[] | null)[];
  values: number[];
  weights: number[] | null;
};

/** The window as it lies: of a sum with its kernel, a plane a channel; of a maximum the one plane. */
export type Laid = {
  channels: number[];
  space: number[];
  positions: number[][];
  sources: number[][]; // -1 where there is none
  planes: { window: number[]; kernel: number[] }[];
};

export type Made = {
  formula: string;
  total: number;
  tolerance: number;
  operands: Operand[];
  bias: number | null;
  numbers: Record<string, number>;
  laid: Laid | null;
  winner: number | null; // of a choice: which cell of the operand
};

/** A cell, and where its operation finds its numbers. */
export type Place = {
  operation: Operation;
  shape: number[]; // of the operation's own value
  index: number[];
  read: (argument: string) => Numbers; // a layer's value or a tensor
  has: (argument: string) => boolean;
};

type Rule = (place: Place) => Made;
type PerAxis = number[];

export class Refused extends Error {}

const NOTHING = { bias: null, numbers: {}, laid: null, winner: null };
const NORM_TOLERANCE = 1e-5;

export const RULES: Record<string, Rule> = {
  input: (place) => ({ ...NOTHING, formula: "the input", total: at(place.read("input"), place.index), tolerance: 0, operands: [] }),
  convolution,
  linear,
  "batch norm": batchNorm,
  "max pool": maxPool,
  "average pool": averagePool,
  "adaptive average pool": adaptiveAverage,
  mean: (place) => reduced(place, "mean"),
  sum: (place) => reduced(place, "sum"),
  maximum: (place) => reduced(place, "maximum"),
  identity: (place) => moved(place, place.index),
  reshape: (place) => moved(place, indexAt(place.read("input").shape, placeOf(place.shape, place.index))),
  permute,
  ...Object.fromEntries(Object.keys(FUNCTIONS).map((name) => [name, elementwise])),
};

function at(numbers: Numbers, index: number[]): number {
  return numbers.values[placeOf(numbers.shape, index)]!;
}

function attribute<T>(place: Place, name: string, otherwise: T): T {
  return (place.operation.attributes[name] as T | null | undefined) ?? otherwise;
}

/** Cells of an argument; the padding's are zeros. */
function operand(place: Place, role: string, indices: (number[] | null)[], weights: number[] | null = null): Operand {
  const numbers = place.read(role);
  const values = indices.map((index) => (index ? at(numbers, index) : 0));
  return { node: place.operation.inputs[role] ?? null, role, indices, values, weights };
}

function optional(place: Place, role: string, index: number, otherwise: number): number {
  return place.has(role) ? at(place.read(role), [index]) : otherwise;
}

function summed(place: Place, laid: Laid | null, indices: (number[] | null)[], weights: number[], bias: number | null, formula: string): Made {
  const read = operand(place, "input", indices, weights);
  const { total, tolerance } = windowSum(read.values, weights, bias ?? 0);
  return { ...NOTHING, formula: formula + (bias === null ? "" : " + bias"), total, tolerance, operands: [read], bias, laid };
}

/** Positions along an axis, and the cells read there: -1 outside of it. */
function inside(position: number[], sizes: number[]): number[] {
  return position.every((place, axis) => place >= 0 && place < sizes[axis]!) ? position : position.map(() => -1);
}

function convolution(place: Place): Made {
  const input = place.read("input");
  const weight = place.read("weight");
  const [output = 0, ...position] = place.index;
  const kernel = weight.shape.slice(2);
  const sizes = input.shape.slice(1);
  const stride = attribute<PerAxis>(place, "stride", []);
  const padding = attribute<number[][]>(place, "padding", []);
  const dilation = attribute<PerAxis>(place, "dilation", []);
  const groups = attribute(place, "groups", 1);
  const perGroup = input.shape[0]! / groups;
  const group = Math.floor(output / (weight.shape[0]! / groups));
  const positions = grid(
    kernel.map((taps, axis) => range(0, taps).map((tap) => tap * dilation[axis]! + position[axis]! * stride[axis]! - padding[axis]![0]!)),
  );
  const sources = positions.map((one) => inside(one, sizes));
  const channels = range(group * perGroup, (group + 1) * perGroup);
  const taps = count(kernel);
  const first = output * perGroup * taps;
  const weights = Array.from(weight.values.subarray(first, first + perGroup * taps));
  const indices = channels.flatMap((channel) => sources.map((source) => (source[0]! < 0 ? null : [channel, ...source])));
  const bias = place.has("bias") ? at(place.read("bias"), [output]) : null;
  const laid = { channels, space: kernel, positions, sources, planes: [] };
  return withPlanes(summed(place, laid, indices, weights, bias, "sum of window × kernel"));
}

/** Give the window its planes: what was read and multiplied, a channel after the other. */
function withPlanes(made: Made): Made {
  const laid = made.laid!;
  const { values, weights } = made.operands[0]!;
  const taps = laid.sources.length;
  const part = (numbers: number[], plane: number) => numbers.slice(plane * taps, (plane + 1) * taps);
  const planes = laid.channels.map((_, plane) => ({ window: part(values, plane), kernel: part(weights ?? [], plane) }));
  return { ...made, laid: { ...laid, planes } };
}

function linear(place: Place): Made {
  const input = place.read("input");
  const weight = place.read("weight");
  const features = weight.shape[1]!;
  const front = place.index.slice(0, -1);
  const output = place.index.at(-1)!;
  const weights = Array.from(weight.values.subarray(output * features, (output + 1) * features));
  const indices = range(0, input.shape.at(-1)!).map((feature) => [...front, feature]);
  const bias = place.has("bias") ? at(place.read("bias"), [output]) : null;
  return summed(place, null, indices, weights, bias, "sum of features × weights");
}

function batchNorm(place: Place): Made {
  if (attribute(place, "training", false)) throw new Refused("it uses the statistics of the batch");
  const channel = place.index[0]!;
  const own = operand(place, "input", [place.index]);
  const value = own.values[0]!;
  const mean = optional(place, "running_mean", channel, 0);
  const deviation = Math.sqrt(optional(place, "running_var", channel, 1) + attribute(place, "eps", 0));
  const scale = optional(place, "weight", channel, 1);
  const shift = optional(place, "bias", channel, 0);
  const size = Math.abs(scale / deviation) * (Math.abs(value) + Math.abs(mean)) + Math.abs(shift);
  return {
    ...NOTHING,
    formula: "(value − mean) / deviation × scale + shift",
    total: ((value - mean) / deviation) * scale + shift,
    tolerance: NORM_TOLERANCE * size,
    operands: [own],
    numbers: { value, mean, deviation, scale, shift },
  };
}

function maxPool(place: Place): Made {
  const sizes = place.read("input").shape.slice(1);
  const [channel = 0, ...position] = place.index;
  const kernel = attribute<PerAxis>(place, "kernel_size", []);
  const stride = attribute<PerAxis>(place, "stride", []);
  const padding = attribute<number[][]>(place, "padding", []);
  const dilation = attribute<PerAxis>(place, "dilation", []);
  const positions = grid(
    kernel.map((taps, axis) => range(0, taps).map((tap) => position[axis]! * stride[axis]! - padding[axis]![0]! + tap * dilation[axis]!)),
  );
  const sources = positions.map((one) => inside(one, sizes));
  const made = chosen(place, sources.map((source) => (source[0]! < 0 ? null : [channel, ...source])), "largest of the window");
  const window = made.operands[0]!.values.map((value, cell) => (sources[cell]![0]! < 0 ? -Infinity : value));
  return { ...made, laid: { channels: [channel], space: kernel, positions, sources, planes: [{ window, kernel: [] }] } };
}

/** The largest of some cells, the first of equals; the padding never wins. */
function chosen(place: Place, indices: (number[] | null)[], formula: string): Made {
  const read = operand(place, "input", indices);
  let winner = -1;
  indices.forEach((index, cell) => {
    if (index && (winner < 0 || read.values[cell]! > read.values[winner]!)) winner = cell;
  });
  return { ...NOTHING, formula, total: read.values[winner]!, tolerance: 0, operands: [read], winner };
}

function averagePool(place: Place): Made {
  const sizes = place.read("input").shape.slice(1);
  const [, ...position] = place.index;
  const kernel = attribute<PerAxis>(place, "kernel_size", []);
  const stride = attribute<PerAxis>(place, "stride", []);
  const padding = attribute<number[][]>(place, "padding", []).map(([before]) => before!);
  const axes = kernel.map((taps, axis) => {
    const first = position[axis]! * stride[axis]! - padding[axis]!;
    return range(first, Math.min(first + taps, sizes[axis]! + padding[axis]!));
  });
  const positions = grid(axes);
  const sources = positions.map((one) => inside(one, sizes));
  const counted = attribute(place, "count_include_pad", true) ? sources.length : sources.filter((one) => one[0]! >= 0).length;
  return averaged(place, axes.map((axis) => axis.length), positions, sources, attribute(place, "divisor_override", 0) || counted);
}

function adaptiveAverage(place: Place): Made {
  const sizes = place.read("input").shape.slice(1);
  const outputs = place.shape.slice(1);
  const [, ...position] = place.index;
  const axes = sizes.map((size, axis) => {
    const cells = outputs[axis]!;
    return range(Math.floor((position[axis]! * size) / cells), Math.ceil(((position[axis]! + 1) * size) / cells));
  });
  const positions = grid(axes);
  return averaged(place, axes.map((axis) => axis.length), positions, positions, positions.length);
}

function averaged(place: Place, space: number[], positions: number[][], sources: number[][], divisor: number): Made {
  const channel = place.index[0]!;
  const indices = sources.map((source) => (source[0]! < 0 ? null : [channel, ...source]));
  const laid = { channels: [channel], space, positions, sources, planes: [] };
  return withPlanes(summed(place, laid, indices, sources.map(() => 1 / divisor), null, "average of the window"));
}

/** Mean, sum or largest along some axes; axes are counted with the batch in front. */
function reduced(place: Place, kind: "mean" | "sum" | "maximum"): Made {
  const { shape } = place.read("input");
  const rank = shape.length + 1;
  const named = place.operation.attributes.dim as number | number[] | null | undefined;
  const all = named == null || (Array.isArray(named) && !named.length);
  const along = new Set(all ? range(0, rank) : [named].flat().map((axis) => (axis! + rank) % rank));
  if (along.has(0)) throw new Refused("it goes over the samples");
  const left = [...place.index];
  const axes = shape.map((size, axis) => {
    if (!along.has(axis + 1)) return [left.shift()!];
    if (attribute(place, "keepdim", false)) left.shift();
    return range(0, size);
  });
  const indices = grid(axes);
  const formula = `of ${indices.length.toLocaleString("en")}`;
  if (kind === "maximum") return chosen(place, indices, `largest ${formula}`);
  const weight = kind === "mean" ? 1 / indices.length : 1;
  return summed(place, null, indices, indices.map(() => weight), null, `${kind} ${formula}`);
}

function elementwise(place: Place): Made {
  const { operation, inputs, parameters, attributes } = place.operation;
  const rule = FUNCTIONS[operation]!;
  if (attributes.rounding_mode != null) throw new Refused("a division that rounds is not known");
  const names = [...Object.keys(inputs), ...Object.keys(parameters)];
  const operands = names.map((name) => operand(place, name, [seen(place, name)]));
  const settings = Object.entries(attributes).filter((entry): entry is [string, number] => typeof entry[1] === "number");
  const numbers = { ...Object.fromEntries(settings), ...Object.fromEntries(names.map((name, n) => [name, operands[n]!.values[0]!])) };
  const total = rule.value(numbers);
  const tolerance = elementTolerance(total, ...(rule.sizes?.(numbers) ?? []));
  return { ...NOTHING, formula: rule.formula, total, tolerance, operands };
}

/** The place that is read of an argument that may have fewer or shorter axes. */
function seen(place: Place, argument: string): number[] {
  const { shape } = place.read(argument);
  const whole = [...range(0, shape.length - place.index.length).map(() => 0), ...place.index]; // a weight may have a batch axis
  const last = whole.slice(whole.length - shape.length);
  return shape.map((size, axis) => (size === 1 ? 0 : last[axis]!));
}

function permute(place: Place): Made {
  const rank = place.index.length + 1;
  const { attributes } = place.operation;
  let order = attributes.dims as number[] | undefined;
  if (!order) {
    const [first, second] = [attributes.dim0 ?? 0, attributes.dim1 ?? -1].map((axis) => ((axis as number) + rank) % rank);
    order = range(0, rank);
    [order[first!], order[second!]] = [second!, first!];
  }
  const index = new Array<number>(rank);
  order.forEach((from, axis) => (index[(from + rank) % rank] = [0, ...place.index][axis]!));
  return moved(place, index.slice(1));
}

function moved(place: Place, index: number[]): Made {
  const read = operand(place, "input", [index]);
  return { ...NOTHING, formula: "the same number", total: read.values[0]!, tolerance: 0, operands: [read] };
}
