// One scale for every signed number: the sign is the hue, the size the opacity, zero is the page.
// Blue and orange stay apart for the common kinds of colour blindness, in light and dark.
const NEGATIVE = [36, 115, 214] as const;
const POSITIVE = [217, 96, 26] as const;

/** Draw shares (-1 to 1), row by row, as a picture of that size. */
export function paint(canvas: HTMLCanvasElement, shares: ArrayLike<number>, height: number, width: number): void {
  canvas.height = height;
  canvas.width = width;
  const image = new ImageData(width, height);
  for (let at = 0; at < height * width; at++) {
    const share = shares[at] ?? 0;
    const colour = share < 0 ? NEGATIVE : POSITIVE;
    image.data.set(colour, at * 4);
    image.data[at * 4 + 3] = Math.round(255 * Math.min(1, Math.abs(share)));
  }
  canvas.getContext("2d")?.putImageData(image, 0, 0);
}

/** Draw red, green, blue bytes as a picture. */
export function paintColour(canvas: HTMLCanvasElement, bytes: ArrayLike<number>, height: number, width: number): void {
  canvas.height = height;
  canvas.width = width;
  const image = new ImageData(width, height);
  for (let at = 0; at < height * width; at++) {
    for (let part = 0; part < 3; part++) image.data[at * 4 + part] = bytes[at * 3 + part] ?? 0;
    image.data[at * 4 + 3] = 255;
  }
  canvas.getContext("2d")?.putImageData(image, 0, 0);
}

/** A background for a cell of a table; pale enough that the number on it can be read. */
export function tint(value: number | string, limit: number): string {
  if (typeof value !== "number" || !limit) return "transparent";
  const colour = value < 0 ? NEGATIVE : POSITIVE;
  const share = Math.min(1, Math.abs(value) / limit);
  return `rgb(${colour.join(" ")} / ${(share * 0.42).toFixed(3)})`;
}
