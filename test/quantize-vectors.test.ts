/** Every block encoder against the reference's bytes: the golden vectors, the project's own adversarial ones, and bytes worked out by hand. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { InternalError } from '../src/core/errors.js'
import { QUANT_TYPES, quantBytes } from '../src/core/quant-types.js'
import { BLOCK_ENCODERS } from '../src/quantize/block-encoders.js'
import type { BlockType } from '../src/quantize/block-formats.js'
import { GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'
import { BLOCK_TYPES, COLS, IMPORTANCE, INPUTS, readFloats, ROW_NAMES, vectorSection } from './support/quant-vectors.js'

const IGNORE_IMPORTANCE: readonly BlockType[] = ['q8_0', 'tq1_0', 'tq2_0', 'mxfp4']

function encode(type: BlockType, values: Float32Array, cols: number, importance?: Float32Array): Uint8Array {
  const bytes = new Uint8Array(quantBytes(type, values.length))
  BLOCK_ENCODERS[type](values, bytes, cols, importance)
  return bytes
}

/** One block: the first values as given, zeros after them. */
function encodeBlock(type: BlockType, ...values: number[]): string {
  const block = new Float32Array(QUANT_TYPES[type].blockElements)
  block.set(values)
  return hex(encode(type, block, block.length))
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

interface GoldenVectors {
  readonly inputs: Readonly<Record<string, { readonly file: string; readonly rows: number; readonly cols: number }>>
  readonly outputs: Readonly<Record<string, { readonly sha256: string; readonly file?: string }>>
}

describe('the golden vectors', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  const folder = join(GOLDEN ?? '', 'quants')

  for (const type of BLOCK_TYPES) {
    it(`are what ${type} gives, with and without importance`, () => {
      const { inputs, outputs } = JSON.parse(readFileSync(join(folder, 'quants.json'), 'utf8')) as GoldenVectors
      const importance = readFloats(join(folder, 'imatrix.f32'))
      let compared = 0
      for (const [key, output] of Object.entries(outputs)) {
        const [name, input, withImportance] = key.split('/')
        if (name?.toLowerCase() !== type || input === undefined || input === 'naninf') continue // range.ts refuses those
        const { file, cols } = inputs[input] ?? assert.fail(key)
        const bytes = encode(type, readFloats(join(folder, file)), cols, withImportance === undefined ? undefined : importance)
        const stored = join(folder, output.file ?? `out-${input}-${name}${withImportance === undefined ? '' : '-imatrix'}.bin`)
        if (existsSync(stored)) assert.equal(hex(bytes), readFileSync(stored).toString('hex'), key)
        assert.equal(sha256(bytes), output.sha256, key)
        compared++
      }
      assert.ok(compared > 0)
    })
  }
})

describe("the reference's bytes of adversarial rows", () => {
  for (const type of BLOCK_TYPES) {
    const rowBytes = quantBytes(type, COLS)
    for (const [section, importance] of [
      ['plain', undefined],
      ['importance', IMPORTANCE],
    ] as const) {
      const expected = vectorSection(type, section)
      if (expected === undefined) continue
      it(`are what ${type} gives${importance === undefined ? '' : ' with importance'}`, () => {
        const bytes = encode(type, INPUTS, COLS, importance)
        assert.equal(bytes.length, expected.length)
        for (const [row, name] of ROW_NAMES.entries()) {
          const [start, end] = [row * rowBytes, (row + 1) * rowBytes]
          assert.equal(hex(bytes.subarray(start, end)), hex(expected.subarray(start, end)), name)
        }
      })
    }
  }

  it('have a section with importance for every type that uses it', () => {
    const without = BLOCK_TYPES.filter((type) => vectorSection(type, 'importance') === undefined)
    assert.deepEqual(without, IGNORE_IMPORTANCE)
  })
})

describe('every block encoder', () => {
  it('gives a row the same bytes alone and among others', () => {
    for (const type of BLOCK_TYPES) {
      for (const importance of [undefined, IMPORTANCE]) {
        const together = encode(type, INPUTS, COLS, importance)
        const rowBytes = quantBytes(type, COLS)
        for (let row = ROW_NAMES.length - 1; row >= 0; row--) {
          const alone = encode(type, INPUTS.subarray(row * COLS, (row + 1) * COLS), COLS, importance)
          assert.equal(hex(alone), hex(together.subarray(row * rowBytes, (row + 1) * rowBytes)), `${type}, ${ROW_NAMES[row]}`)
        }
      }
    }
  })

  it('leaves its input alone', () => {
    for (const type of BLOCK_TYPES) {
      const [values, weights] = [INPUTS.slice(), IMPORTANCE.slice()]
      encode(type, values, COLS, weights)
      assert.deepEqual([values, weights], [INPUTS, IMPORTANCE], type)
    }
  })

  it('ignores importance where the type has no search', () => {
    for (const type of IGNORE_IMPORTANCE) assert.equal(hex(encode(type, INPUTS, COLS, IMPORTANCE)), hex(encode(type, INPUTS, COLS)), type)
  })

  it('refuses rows that are no whole blocks, and buffers of another size', () => {
    for (const type of BLOCK_TYPES.filter((type) => type !== 'q8_0')) {
      const { blockElements, blockBytes } = QUANT_TYPES[type]
      const block = new Float32Array(blockElements)
      assert.throws(() => BLOCK_ENCODERS[type](block, new Uint8Array(blockBytes), blockElements / 2), InternalError, type)
      assert.throws(() => BLOCK_ENCODERS[type](block, new Uint8Array(blockBytes), blockElements * 2), InternalError, type)
      assert.throws(() => BLOCK_ENCODERS[type](block, new Uint8Array(blockBytes + 1), blockElements), InternalError, type)
      assert.throws(() => BLOCK_ENCODERS[type](block, new Uint8Array(blockBytes), blockElements, new Float32Array(1)), InternalError, type)
      assert.throws(() => BLOCK_ENCODERS[type](block, new Uint8Array(blockBytes), 0), InternalError, type)
    }
  })
})

describe('bytes worked out by hand', () => {
  it('give q4_0 a negative zero as the scale of a zero block, and the middle level', () => {
    assert.equal(encodeBlock('q4_0'), `0080${'88'.repeat(16)}`)
  })

  it('let the first of equal magnitudes choose the sign of a q4_0 scale', () => {
    // d = 8 / -8 = -1: 8 is level 0, -8 would be level 16 and is cut to 15; then d = 1
    assert.equal(encodeBlock('q4_0', 8, -8), `00bc808f${'88'.repeat(14)}`)
    assert.equal(encodeBlock('q4_0', -8, 8), `003c808f${'88'.repeat(14)}`)
  })

  it('count q4_1 levels from the minimum, halves up', () => {
    // minimum 0, maximum 15, d = 1
    assert.equal(encodeBlock('q4_1', 15, 0.5, 1.49), `003c00000f0101${'00'.repeat(13)}`)
  })

  it('put the fifth bits of q5_0 in a word of their own', () => {
    // d = -1: level 16 - x, and 16 itself, the bit alone, for zeros
    assert.equal(encodeBlock('q5_0', 16, 1), `00bcfcffffff000f${'00'.repeat(14)}`)
  })

  it('round ternary halves away from zero', () => {
    // d = 2; levels 2, 0 (-1 / 2 = -0.5), 2 (0.5), 1; the four share no byte in tq2_0: byte m holds elements m, m + 32 …
    assert.equal(encodeBlock('tq2_0', 2, -1, 1, 0.99), `565456555555${'55'.repeat(58)}0040`)
  })

  it('write five trits as a fraction of 243', () => {
    // all zero: five times level 1 is 121, ceil(121 * 256 / 243) = 128; four trits and an empty one: 120, 127
    assert.equal(encodeBlock('tq1_0'), `${'80'.repeat(48)}${'7f'.repeat(4)}0000`)
  })

  it('give mxfp4 the exponent of its largest value, less 2', () => {
    // 6: floor(log2 6) - 2 + 127 = 127, so steps are E2M1 as they are; 5 lies between 4 and 6 and gets the first
    assert.equal(encodeBlock('mxfp4', 6, -1.5, 5, 0.25), `7f070b0600${'00'.repeat(12)}`)
  })

  it('let mxfp4 round its logarithm before it takes the floor', () => {
    const below = (ulps: number, power: number): string => encodeBlock('mxfp4', power * (1 - ulps * 2 ** -24)).slice(0, 2)
    assert.equal(below(2, 2 ** 5), '82') // 5 - 2 + 127
    assert.equal(below(3, 2 ** 5), '81')
    assert.equal(below(44, 2 ** 100), 'e1')
    assert.equal(below(45, 2 ** 100), 'e0')
  })
})
