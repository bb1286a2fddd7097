// Layers of any rank as maps: a vector is one row, a signal one row a channel. Some networks lay the
// channels last, so that an index is told apart by the layer's axis of channels.
import type { Layer } from "./api";

type Axes = Pick<Layer, "shape" | "channel_axis">;
export type Box = { row: number; column: number; rows: number; columns: number };

export function isVector(layer: Axes): boolean {
  return layer.shape.length === 1;
}

export function channels(layer: Axes): number {
  return layer.shape[layer.channel_axis] ?? 1;
}

/** Height and width of one channel; of a vector: of all of it. */
export function plane(layer: Axes): [number, number] {
  const sizes = isVector(layer) ? layer.shape : layer.shape.filter((_, axis) => axis !== layer.channel_axis);
  return [sizes.length > 1 ? sizes.at(-2)! : 1, sizes.at(-1) ?? 1];
}

/** How many slices a map of three axes has; else 1. */
export function depth(layer: Axes): number {
  return layer.shape.length === 4 ? channelFirst(layer, layer.shape)[1]! : 1;
}

/** In which slice a cell lies. */
export function sliceOf(layer: Axes, index: number[]): number {
  return layer.shape.length === 4 ? (channelFirst(layer, index)[1] ?? 0) : 0;
}

/** The slice to ask for; of maps of two axes none. */
export function askedSlice(layer: Axes, slice: number): number | undefined {
  return layer.shape.length === 4 ? slice : undefined;
}

/** The channel in front of the position, whichever way the layer has it. */
export function channelFirst<T>(layer: Axes, index: T[]): T[] {
  if (index.length !== layer.shape.length) return index;
  return [index[layer.channel_axis]!, ...index.filter((_, axis) => axis !== layer.channel_axis)];
}

/** Where a cell lies on the plane. */
export function onPlane(layer: Axes, index: number[]): [number, number] {
  if (isVector(layer)) return [0, index[0] ?? 0];
  const position = channelFirst(layer, index).slice(1);
  return [position.length > 1 ? position.at(-2)! : 0, position.at(-1) ?? 0];
}

/** The index of the cell at a place of the plane, of three axes in a slice. */
export function fromPlane(layer: Axes, channel: number, row: number, column: number, slice = 0): number[] {
  if (isVector(layer)) return [column];
  const index = layer.shape.length === 2 ? [column] : layer.shape.length === 3 ? [row, column] : [slice, row, column];
  index.splice(layer.channel_axis, 0, channel);
  return index;
}

/** The box from first to last, both included, of the last two axes. */
export function boxOf(ends: number[][]): Box | null {
  const [rows, columns] = ends.length === 1 ? [[0, 0], ends[0]!] : ends.slice(-2);
  if (!rows || !columns) return null;
  return {
    row: rows[0]!,
    column: columns[0]!,
    rows: rows[1]! - rows[0]! + 1,
    columns: columns[1]! - columns[0]! + 1,
  };
}

/** The middle of the slices from first to last, within those that there are. */
export function middleSlice(ends: number[][], slices: number): number {
  const [first = 0, last = 0] = ends.at(-3) ?? [];
  return Math.max(0, Math.min(slices - 1, (first + last) >> 1));
}

/** The box from left, top, right and bottom. */
export function cornered([left = 0, top = 0, right = 0, bottom = 0]: number[]): Box {
  return { row: top, column: left, rows: bottom - top, columns: right - left };
}

/** The box around positions, an entry an axis. */
export function around(positions: number[][]): Box | null {
  return positions[0]?.length ? boxOf(endsOf(positions)) : null;
}

/** First and last of positions, an axis an entry. */
export function endsOf(positions: number[][]): number[][] {
  return (positions[0] ?? []).map((_, axis) => {
    const places = positions.map((position) => position[axis]!);
    return [Math.min(...places), Math.max(...places)];
  });
}
