// Maps and kernels as bytes: the length of a header (uint32), the header as JSON, the blocks.
import type { components } from "../schema";

type Header = components["schemas"]["PackHeader"];
export type BlockHeader = components["schemas"]["Block"];
export type Block = BlockHeader & { values: Uint8Array | Float32Array };
export type Pack = { blocks: Block[]; activity: number[] };

const LENGTH = 4; // bytes
const ZERO = 128;
const LARGEST = 127;

export function decodePack(buffer: ArrayBuffer): Pack {
  const length = new DataView(buffer).getUint32(0, true);
  const text = new TextDecoder().decode(new Uint8Array(buffer, LENGTH, length));
  const header = JSON.parse(text) as Header;
  const start = LENGTH + length;
  const blocks = header.blocks.map((block) => {
    const count = block.shape.reduce((product, size) => product * size, 1);
    const values =
      block.kind === "numbers"
        ? new Float32Array(buffer, start + block.offset, count)
        : new Uint8Array(buffer, start + block.offset, count);
    return { ...block, values };
  });
  return { blocks, activity: header.activity };
}

/** The n-th picture of a block of several, as shares of its limit from -1 to 1. */
export function shares(block: Block, number = 0): Float32Array {
  const [height = 1, width = 1] = block.shape.slice(-2);
  const size = height * width;
  const part = block.values.subarray(number * size, (number + 1) * size);
  const found = new Float32Array(size);
  for (let at = 0; at < size; at++)
    found[at] =
      block.kind === "signed"
        ? (part[at]! - ZERO) / LARGEST
        : block.limit
          ? part[at]! / block.limit
          : 0;
  return found;
}
