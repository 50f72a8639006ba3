/** Every block decoder against the reference's values, and against the encoders. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { InternalError } from '../src/core/errors.js'
import { QUANT_TYPES, quantBytes } from '../src/core/quant-types.js'
import { BLOCK_ENCODERS } from '../src/quantize/block-encoders.js'
import type { BlockType } from '../src/quantize/block-formats.js'
import { BLOCK_DECODERS } from '../src/quantize/decode.js'
import { BLOCK_TYPES, COLS, INPUTS, vectorSection } from './support/quant-vectors.js'

function decode(type: BlockType, bytes: Uint8Array): Float32Array {
  const { blockElements, blockBytes } = QUANT_TYPES[type]
  const values = new Float32Array((bytes.length / blockBytes) * blockElements)
  BLOCK_DECODERS[type](bytes, values)
  return values
}

function hex(values: Float32Array | Uint8Array): string {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('hex')
}

/** A block of the given first fields, zeros after them. */
function block(type: BlockType, ...fields: string[]): Uint8Array {
  const bytes = new Uint8Array(QUANT_TYPES[type].blockBytes)
  bytes.set(Buffer.from(fields.join(''), 'hex'))
  return bytes
}

describe('every block decoder', () => {
  for (const type of BLOCK_TYPES) {
    it(`reads random ${type} blocks as the reference does, bit by bit`, () => {
      const [blocks, decoded] = [vectorSection(type, 'blocks'), vectorSection(type, 'decoded')]
      assert.ok(blocks !== undefined && decoded !== undefined && decoded.length > 0)
      assert.equal(hex(decode(type, blocks)), hex(decoded))
    })
  }

  it('reads blocks one by one as it reads them together', () => {
    for (const type of BLOCK_TYPES) {
      const blocks = vectorSection(type, 'plain') ?? assert.fail(type)
      const { blockElements, blockBytes } = QUANT_TYPES[type]
      const together = decode(type, blocks)
      for (let b = blocks.length / blockBytes - 1; b >= 0; b--) {
        const alone = decode(type, blocks.subarray(b * blockBytes, (b + 1) * blockBytes))
        assert.equal(hex(alone), hex(together.subarray(b * blockElements, (b + 1) * blockElements)), `${type}, block ${b}`)
      }
    }
  })

  it('reads values near those that were written', () => {
    // relative to the largest magnitude of the row: a step of each type's coarsest scale, with some room
    // oxfmt-ignore
    const within: Readonly<Record<BlockType, number>> = {
      q8_0: 1 / 250, q4_0: 1 / 7, q4_1: 1 / 14, q5_0: 1 / 15, q5_1: 1 / 30,
      q2_k: 1 / 2.2, q3_k: 1 / 3, q4_k: 1 / 12, q5_k: 1 / 25, q6_k: 1 / 28,
      iq4_nl: 1 / 6, iq4_xs: 1 / 6, tq1_0: 1 / 1.9, tq2_0: 1 / 1.9, mxfp4: 1 / 3,
    }
    const row = INPUTS.subarray(-COLS) // the usual weights
    const largest = row.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
    for (const type of BLOCK_TYPES) {
      const bytes = new Uint8Array(quantBytes(type, COLS))
      BLOCK_ENCODERS[type](row, bytes, COLS)
      const worst = decode(type, bytes).reduce((most, value, i) => Math.max(most, Math.abs(value - (row[i] ?? 0))), 0)
      assert.ok(worst <= within[type] * largest, `${type}: ${worst / largest}`)
      assert.ok(worst > 0, type)
    }
  })

  it('refuses bytes that are not the elements asked for', () => {
    for (const type of BLOCK_TYPES) {
      const { blockElements, blockBytes } = QUANT_TYPES[type]
      assert.throws(() => BLOCK_DECODERS[type](new Uint8Array(blockBytes - 1), new Float32Array(blockElements)), InternalError, type)
      assert.throws(() => BLOCK_DECODERS[type](new Uint8Array(blockBytes), new Float32Array(blockElements / 2)), InternalError, type)
    }
  })
})

describe('values worked out by hand', () => {
  it('keep the sign of zero: a negative scale makes negative zeros', () => {
    const zeros = decode('q4_0', block('q4_0', '00bc', '88'.repeat(16)))
    assert.ok(zeros.every((value) => Object.is(value, -0)))
  })

  it('add the minimum of q4_1 and the fifth bit of q5_1', () => {
    assert.deepEqual([...decode('q4_1', block('q4_1', '003c0040', '21')).subarray(0, 17)], [3, ...Array<number>(15).fill(2), 4])
    // levels 16 + 1 for element 0, 2 for element 16
    assert.deepEqual([...decode('q5_1', block('q5_1', '003c0040', '01000000', '21')).subarray(0, 17)], [19, ...Array<number>(15).fill(2), 4])
  })

  it('read the six-bit scales and mins of q4_k from their three places', () => {
    // d = 1, dmin = 1; scale 0 = 1, scale 4 = 0x25, min 4 = 0x1a; element 0 is level 3, element 128 is level 2
    const bytes = block('q4_k', '003c003c', '81000000', '40000000', 'a5000000', '03')
    bytes[16 + 64] = 2
    const values = decode('q4_k', bytes)
    assert.equal(values[0], 3)
    assert.equal(values[128], 2 * 0x25 - 0x1a)
    assert.equal(values[129], -0x1a)
  })

  it('read every mxfp4 exponent as a power of two, the two smallest as subnormals', () => {
    for (const exponent of [0, 1, 2, 127, 254]) {
      const [first] = decode('mxfp4', block('mxfp4', `${exponent.toString(16).padStart(2, '0')}02`)) // level 2 is 1.0
      assert.equal(first, 2 ** (exponent - 127))
    }
  })
})
