/**
 * The plain-JS truth of reading every block type: bytes in, the f32 values that they mean out.
 *
 * Law: ggml-quants.c `dequantize_row_*` (llama.cpp 0c1e570): f32 arithmetic, every operation rounded.
 */
/* oxlint-disable typescript/no-non-null-assertion -- numeric loops */
import { InternalError } from '../core/errors.js'
import { QUANT_TYPES } from '../core/quant-types.js'
import { BLOCK_FORMATS, type BlockType } from './block-formats.js'

/** Reads whole blocks. `bytes` holds exactly the blocks of `into.length` elements. */
export type BlockDecoder = (bytes: Uint8Array, into: Float32Array) => void

export const BLOCK_DECODERS: Readonly<Record<BlockType, BlockDecoder>> = {
  q8_0: decoder('q8_0'),
  q4_0: decoder('q4_0'),
  q4_1: decoder('q4_1'),
  q5_0: decoder('q5_0'),
  q5_1: decoder('q5_1'),
  q2_k: decoder('q2_k'),
  q3_k: decoder('q3_k'),
  q4_k: decoder('q4_k'),
  q5_k: decoder('q5_k'),
  q6_k: decoder('q6_k'),
  iq4_nl: decoder('iq4_nl'),
  iq4_xs: decoder('iq4_xs'),
  tq1_0: decoder('tq1_0'),
  tq2_0: decoder('tq2_0'),
  mxfp4: decoder('mxfp4'),
}

function decoder(type: BlockType): BlockDecoder {
  const { blockElements, blockBytes } = QUANT_TYPES[type]
  const { groupElements, values, readLevels, readScales } = BLOCK_FORMATS[type]
  const levels = new Uint8Array(blockElements)
  const scales = new Float32Array(blockElements / groupElements)
  const mins = new Float32Array(scales.length)
  return (bytes, into) => {
    if (into.length % blockElements !== 0 || bytes.length !== (into.length / blockElements) * blockBytes) {
      throw new InternalError(`${bytes.length} bytes are not ${into.length} elements of ${type}`)
    }
    for (let at = 0, first = 0; at < bytes.length; at += blockBytes, first += blockElements) {
      readLevels(bytes, at, levels)
      readScales(bytes, at, scales, mins)
      for (let i = 0; i < blockElements; i++) {
        const group = (i / groupElements) | 0
        into[first + i] = Math.fround(scales[group]! * values[levels[i]!]!) - mins[group]!
      }
    }
  }
}
