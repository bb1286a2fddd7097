import type { Value } from "./api";

/** A number with its sign, in so many significant digits; a true minus. */
export function signed(value: Value | null | undefined, digits = 4): string {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return value === "-inf" ? "−∞" : value === "inf" ? "∞" : value;
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text =
    size >= 1e5 || size < 1e-4 ? size.toExponential(Math.max(0, digits - 2)) : Number(size.toPrecision(digits)).toString();
  return (value < 0 ? "−" : "") + text;
}

/** Two digits behind the point where that says enough: for cells of a table. */
export function short(value: Value): string {
  if (typeof value !== "number") return signed(value);
  const size = Math.abs(value);
  if (value === 0) return "0";
  if (size < 0.005) return (value < 0 ? "−" : "") + size.toExponential(0);
  return (value < 0 ? "−" : "") + (size < 100 ? size.toFixed(2) : size.toPrecision(3));
}

export function percent(share: number): string {
  return share > 0 && share < 0.001 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`;
}

export function count(value: number): string {
  return value.toLocaleString("en");
}

export function size(shape: number[]): string {
  return shape.join(" × ");
}

/** The value's place as people say it: map, row, column. */
export function place(index: number[]): string {
  const [channel, ...position] = index;
  if (!position.length) return `unit ${channel}`;
  if (position.length === 1) return `map ${channel}, position ${position[0]}`;
  if (position.length === 2) return `map ${channel}, row ${position[0]}, column ${position[1]}`;
  if (position.length === 3) return `map ${channel}, slice ${position[0]}, row ${position[1]}, column ${position[2]}`;
  return `map ${channel}, position ${position.join(", ")}`;
}

/** Seconds, to the millisecond. */
export function seconds(value: number): string {
  return `${signed(Math.round(value * 1000) / 1000, 6)} s`;
}
