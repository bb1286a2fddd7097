// Cells of arrays laid row by row: the place of an index, and the index at a place.

/** How many numbers an array of that shape has. */
export function count(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Where the cell at an index lies. */
export function placeOf(shape: readonly number[], index: readonly number[]): number {
  return shape.reduce((place, size, axis) => place * size + index[axis]!, 0);
}

/** The index of the cell at a place. */
export function indexAt(shape: readonly number[], place: number): number[] {
  const index = new Array<number>(shape.length);
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    index[axis] = place % shape[axis]!;
    place = Math.floor(place / shape[axis]!);
  }
  return index;
}

/** Every combination of an entry of each list, the last list running fastest. */
export function grid(axes: readonly (readonly number[])[]): number[][] {
  return axes.reduce<number[][]>((found, axis) => found.flatMap((head) => axis.map((at) => [...head, at])), [[]]);
}

/** The numbers from first up to, but without, end. */
export function range(first: number, end: number): number[] {
  return Array.from({ length: Math.max(0, end - first) }, (_, at) => first + at);
}
