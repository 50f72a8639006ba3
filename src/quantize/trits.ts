/**
 * The levels of tq1_0: five of {0, 1, 2} in a byte, as a fraction of 3^5 scaled to 256, so that a reader gets them one
 * after the other by multiplying by 3.
 *
 * Law: ggml-quants.c `quantize_row_tq1_0_ref`, `dequantize_row_tq1_0` (llama.cpp 0c1e570).
 */
/* oxlint-disable typescript/no-non-null-assertion -- numeric loops */

const PER_BYTE = 5
const STATES = 3 ** PER_BYTE

/** Byte i of a run holds elements i, i + bytes, i + 2 * bytes …, the first one in the most significant trit. */
const RUNS = [
  { bytes: 32, trits: 5 },
  { bytes: 16, trits: 5 },
  { bytes: 4, trits: 4 },
] as const

/** Writes 256 levels into 52 bytes. */
export function writeTrits(levels: Uint8Array, into: Uint8Array, at: number): void {
  let [first, out] = [0, at]
  for (const { bytes, trits } of RUNS) {
    for (let i = 0; i < bytes; i++) {
      let state = 0
      for (let n = 0; n < PER_BYTE; n++) state = state * 3 + (n < trits ? levels[first + i + n * bytes]! : 0)
      into[out++] = Math.ceil((state * 256) / STATES)
    }
    first += bytes * trits
  }
}

/** Reads 256 levels from 52 bytes. */
export function readTrits(from: Uint8Array, at: number, levels: Uint8Array): void {
  let [first, next] = [0, at]
  for (const { bytes, trits } of RUNS) {
    for (let i = 0; i < bytes; i++) {
      let fraction = from[next++]!
      for (let n = 0; n < trits; n++) {
        levels[first + i + n * bytes] = (fraction * 3) >>> 8
        fraction = (fraction * 3) & 0xff
      }
    }
    first += bytes * trits
  }
}
