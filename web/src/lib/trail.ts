// The way down from a cell to the pixels, kept in the address: "conv2@3,5,7;conv1@0,9,9".
export type Stop = { layer: string; at: string };

export function readTrail(text: string | undefined): Stop[] {
  return (text ?? "")
    .split(";")
    .filter(Boolean)
    .map((stop) => {
      const cut = stop.lastIndexOf("@");
      return { layer: stop.slice(0, cut), at: stop.slice(cut + 1) };
    });
}

export function writeTrail(stops: Stop[]): string {
  return stops.map(({ layer, at }) => `${layer}@${at}`).join(";");
}
