/** One pass from a folder to a quantized GGUF gives the bytes of the reference's two: convert to the folder's own type, quantize that file. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { execute, planGguf, planMerge, type GgufOptions } from '../src/index.js'
import { ALL_FILE_TYPES, isConverterFileType, type AnyFileType } from '../src/quantize/file-types.js'
import { FIXTURES } from './support/paths.js'
import { smallLlamaModules, writeSmallLlama } from './support/small-llama.js'
import { writeAdapter, type Float } from './support/tiny-models.js'
import { removeWorkspace } from './support/workspace.js'

const folder = mkdtempSync(join(tmpdir(), 'l2g-quantize-folder-'))
after(() => removeWorkspace(folder))
let count = 0

/** q2_k_s needs an importance matrix. */
const TYPES = (Object.keys(ALL_FILE_TYPES) as AnyFileType[]).filter((type) => !isConverterFileType(type) && type !== 'q2_k_s')

async function made(options: Omit<GgufOptions, 'outfile'>): Promise<string> {
  const outfile = join(folder, `${count++}.gguf`)
  await execute(await planGguf({ modelfile: false, receipt: false, ...options, outfile }))
  return outfile
}

function assertSame(one: string, two: string): void {
  const [a, b] = [readFileSync(one), readFileSync(two)]
  assert.equal(a.byteLength, b.byteLength)
  assert.equal(
    a.findIndex((byte, i) => byte !== b[i]),
    -1,
  )
}

const isNorm = (name: string): boolean => name.includes('norm')

/** Folders, and what the converter makes of each before llama-quantize gets it. */
const FOLDERS: readonly (readonly [what: string, dtypeOf: (name: string) => Float, between: 'f32' | 'f16' | 'bf16'])[] = [
  ['f16', () => 'F16', 'f16'],
  ['bf16', () => 'BF16', 'bf16'],
  ['f32', () => 'F32', 'f32'],
  ['bf16 with norms and half of its matrices in f32', (name) => (isNorm(name) || name.includes('layers.1.') ? 'F32' : 'BF16'), 'bf16'],
  ['f16 with some matrices in bf16 and f32', (name) => (name.includes('_proj') ? (name.includes('mlp') ? 'BF16' : 'F32') : 'F16'), 'f16'],
  ['f32 in its first matrix by name, bf16 in the others', (name) => (name === 'lm_head.weight' ? 'F32' : 'BF16'), 'f32'],
]

describe('a folder quantized in one pass equals converting and quantizing', () => {
  for (const [what, dtypeOf, between] of FOLDERS) {
    it(`of ${what}, as every type`, async () => {
      const model = writeSmallLlama(folder, dtypeOf, `model-${count}`)
      const converted = await made({ model, noVocab: true, outtype: between })
      for (const outtype of TYPES) assertSame(await made({ model, noVocab: true, outtype }), await made({ model: converted, outtype }))
    })
  }

  it('with a tokenizer, metadata and a chat template', async () => {
    const model = join(FIXTURES, 'tiny-story')
    const converted = await made({ model, outtype: 'bf16' })
    assertSame(await made({ model, outtype: 'q4_0' }), await made({ model: converted, outtype: 'q4_0' }))
  })

  it('of a type of the converter’s, where an option wants llama-quantize', async () => {
    const model = writeSmallLlama(folder, () => 'BF16', 'model-options')
    const converted = await made({ model, noVocab: true, outtype: 'bf16' })
    for (const outtype of ['q8_0', 'f16', 'tq2_0'] as const) {
      const quantize = { tokenEmbeddingType: 'q4_0', tensorTypes: [{ pattern: 'attn_v', type: 'q6_k' }] } as const
      const one = await made({ model, noVocab: true, outtype, quantize })
      assertSame(one, await made({ model: converted, outtype, quantize }))
      assert.notDeepEqual(readFileSync(one), readFileSync(await made({ model, noVocab: true, outtype })))
    }
  })
})

describe('a folder merged and quantized in one pass equals merging to f32, converting to f32 and quantizing', () => {
  for (const dtype of ['BF16', 'F16', 'F32'] as const) {
    it(`of a base in ${dtype}, as every type`, async () => {
      const model = writeSmallLlama(folder, () => dtype, `base-${dtype}`)
      const path = writeAdapter(join(folder, `adapter-${dtype}`), {
        modules: { ...smallLlamaModules(0, 'q_proj', 'o_proj', 'down_proj'), ...smallLlamaModules(1, 'k_proj', 'up_proj') },
      })
      const merged = join(folder, `merged-${dtype}`)
      await execute(await planMerge({ base: model, adapters: [{ path }], out: merged, dtype: 'F32' }))
      const converted = await made({ model: merged, noVocab: true, outtype: 'f32' })
      for (const outtype of TYPES) assertSame(await made({ model, adapters: [{ path }], noVocab: true, outtype }), await made({ model: converted, outtype }))
    })
  }
})
