/** Every block encoder against the reference's bytes: the golden vectors, and the project's own adversarial ones. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { quantBytes } from '../src/core/quant-types.js'
import { BLOCK_ENCODERS } from '../src/quantize/block-encoders.js'
import type { BlockType } from '../src/quantize/block-formats.js'
import { GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'

const TYPES = Object.keys(BLOCK_ENCODERS) as BlockType[]

function encode(type: BlockType, values: Float32Array, cols: number, importance?: Float32Array): Uint8Array {
  const bytes = new Uint8Array(quantBytes(type, values.length))
  BLOCK_ENCODERS[type](values, bytes, cols, importance)
  return bytes
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function readFloats(file: string): Float32Array {
  return new Float32Array(Uint8Array.from(readFileSync(file)).buffer)
}

interface GoldenVectors {
  readonly inputs: Readonly<Record<string, { readonly file: string; readonly rows: number; readonly cols: number }>>
  readonly outputs: Readonly<Record<string, { readonly sha256: string; readonly file?: string }>>
}

describe('the golden vectors', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  const folder = join(GOLDEN ?? '', 'quants')
  const { inputs, outputs } =
    GOLDEN === undefined ? { inputs: {}, outputs: {} } : (JSON.parse(readFileSync(join(folder, 'quants.json'), 'utf8')) as GoldenVectors)
  const importance = GOLDEN === undefined ? undefined : readFloats(join(folder, 'imatrix.f32'))

  for (const type of TYPES) {
    it(`are what ${type} gives, with and without importance`, () => {
      let compared = 0
      for (const [key, output] of Object.entries(outputs)) {
        const [name, input, withImportance] = key.split('/')
        if (name?.toLowerCase() !== type || input === undefined || input === 'naninf') continue // range.ts refuses those
        const { file, cols } = inputs[input] ?? assert.fail(key)
        const bytes = encode(type, readFloats(join(folder, file)), cols, withImportance === undefined ? undefined : importance)
        const stored = join(folder, output.file ?? `out-${input}-${name}${withImportance === undefined ? '' : '-imatrix'}.bin`)
        if (existsSync(stored)) assert.deepEqual(Buffer.from(bytes), readFileSync(stored), key)
        assert.equal(sha256(bytes), output.sha256, key)
        compared++
      }
      assert.ok(compared > 0)
    })
  }
})
