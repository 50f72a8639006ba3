/** Every layout of quantized checkpoints, read as plain numbers: the values that its makers' formula gives, bit for bit. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { execute, planGguf, planMerge } from '../src/index.js'
import { readGguf } from './support/gguf-file.js'
import { readSafetensors } from './support/plain-tensors.js'
import { QUANTIZED_LAYOUTS, writeQuantizedModel } from './support/quantized-models.js'
import { writeAdapter } from './support/tiny-models.js'
import { workspace } from './support/workspace.js'

/** Changes a tensor that is not quantized. */
const HEAD = { modules: { lm_head: [645, 64] as const } }

describe('a quantized base, dequantized', () => {
  for (const name of Object.keys(QUANTIZED_LAYOUTS)) {
    it(`has the values of its layout: ${name}`, async (t) => {
      const parent = workspace(t, 'layout')
      const { folder, values } = writeQuantizedModel(parent, name)
      const out = join(parent, 'merged')
      const adapters = [{ path: writeAdapter(join(parent, 'adapter'), HEAD) }]
      await execute(await planMerge({ base: folder, adapters, out, dtype: 'F32', dequantizeBase: true }))
      const merged = readSafetensors(out)
      for (const [tensor, { shape, values: wanted }] of values) {
        const own = merged.get(tensor)
        assert.deepEqual([own?.dtype, own?.shape], ['F32', shape], tensor)
        assert.deepEqual(own?.bytes, new Uint8Array(wanted.buffer), tensor)
      }
      assert.deepEqual([...merged.keys()].filter((one) => !values.has(one)).sort(), OTHERS)
      const config = JSON.parse(readFileSync(join(out, 'config.json'), 'utf8')) as Record<string, unknown>
      assert.deepEqual([config['quantization_config'], config['dtype'], config['vocab_size']], [undefined, 'float32', 645])
    })
  }

  it('is the same whatever the size of tiles', async (t) => {
    const parent = workspace(t, 'layout-tiles')
    const path = writeAdapter(join(parent, 'adapter'), HEAD)
    for (const name of ['gptq4-act', 'awq', 'bnb-nf4-nested', 'ct-pack4-zeros', 'fp8-ragged', 'bitnet']) {
      const { folder } = writeQuantizedModel(parent, name)
      const [large, small] = [join(parent, `${name}-large`), join(parent, `${name}-small`)]
      const asked = { base: folder, adapters: [{ path }], dtype: 'F32', dequantizeBase: true } as const
      await execute(await planMerge({ ...asked, out: large }))
      await execute(await planMerge({ ...asked, out: small, tileElements: 200 }))
      for (const [tensor, { bytes }] of readSafetensors(large)) assert.deepEqual(readSafetensors(small).get(tensor)?.bytes, bytes, `${name}: ${tensor}`)
    }
  })

  it('is read for --sizes, too, and for GGUF types of fewer bits', async (t) => {
    const parent = workspace(t, 'layout-q8')
    const { folder } = writeQuantizedModel(parent, 'gptq4')
    const outfile = join(parent, 'out.gguf')
    await execute(await planGguf({ model: folder, outtype: 'q4_0', outfile, modelfile: false }))
    const { tensors } = await readGguf(outfile)
    assert.ok(tensors.filter(({ type }) => type === 'q4_0').length >= 5)
  })
})

const OTHERS = [
  ...['lm_head.weight', 'model.embed_tokens.weight'],
  ...['model.layers.0.input_layernorm.weight', 'model.layers.0.post_attention_layernorm.weight', 'model.norm.weight'],
]
