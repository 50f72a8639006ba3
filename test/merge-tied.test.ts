/** A base whose output is its embedding: which adapters make the two differ, and that a GGUF made in one pass agrees with a merged folder. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { UnsupportedError } from '../src/core/errors.js'
import { execute, planGguf, planMerge } from '../src/index.js'
import { FIXTURES } from './support/paths.js'
import { readSafetensors, writeSafetensors, type PlainTensor } from './support/plain-tensors.js'
import { seededTensor, writeSideFiles } from './support/tiny-models.js'
import { workspace } from './support/workspace.js'

const STORY = join(FIXTURES, 'tiny-story')
const EMBEDDING = 'model.embed_tokens.weight'
const [VOCAB = 0, WIDTH = 0] = readSafetensors(STORY).get(EMBEDDING)?.shape ?? []
const Q = 'base_model.model.model.layers.0.self_attn.q_proj'
const E = 'base_model.model.model.embed_tokens'
const H = 'base_model.model.lm_head'
const small = (seed: number, ...shape: readonly number[]): PlainTensor => seededTensor(seed, 'F32', shape, 0.1)
const embeddingPair = { [`${E}.lora_embedding_A`]: small(1, 2, VOCAB), [`${E}.lora_embedding_B`]: small(2, WIDTH, 2) }
const headPair = { [`${H}.lora_A.weight`]: small(3, 2, WIDTH), [`${H}.lora_B.weight`]: small(4, VOCAB, 2) }
const queryPair = { [`${Q}.lora_A.weight`]: small(5, 2, WIDTH), [`${Q}.lora_B.weight`]: small(6, WIDTH, 2) }

const CASES: readonly {
  readonly what: string
  readonly tensors: Record<string, PlainTensor>
  readonly config?: object
  readonly tied: boolean
  readonly changed: boolean
}[] = [
  { what: 'LoRA on a matrix inside', tensors: queryPair, tied: true, changed: false },
  { what: 'DoRA', tensors: { ...queryPair, [`${Q}.lora_magnitude_vector`]: small(7, WIDTH) }, config: { use_dora: true }, tied: true, changed: false },
  { what: 'LoRA on the embedding', tensors: embeddingPair, tied: false, changed: true },
  { what: 'LoRA on the output', tensors: headPair, tied: false, changed: false },
  { what: 'LoRA on both', tensors: { ...embeddingPair, ...headPair }, tied: false, changed: true },
  { what: 'LoRA on both as one', tensors: { ...embeddingPair, ...headPair }, config: { ensure_weight_tying: true }, tied: true, changed: true },
  { what: 'an embedding trained as a whole', tensors: { ...queryPair, [`${E}.weight`]: small(8, VOCAB, WIDTH) }, tied: false, changed: true },
  {
    what: 'trained tokens',
    tensors: { ...queryPair, [`${E}.token_adapter.trainable_tokens_delta`]: small(9, 2, WIDTH) },
    config: { trainable_token_indices: [5, 3] },
    tied: true,
    changed: true,
  },
]

describe('tied embeddings', () => {
  for (const { what, tensors, config, tied, changed } of CASES) {
    it(`${tied ? 'stay tied' : 'are untied'} after ${what}`, async (t) => {
      const folder = workspace(t, 'tied')
      const [adapter, merged] = [join(folder, 'adapter'), join(folder, 'merged')]
      writeSideFiles(adapter, { 'adapter_config.json': { peft_type: 'LORA', r: 2, lora_alpha: 4, ...config } })
      writeSafetensors(join(adapter, 'adapter_model.safetensors'), tensors)
      await execute(await planMerge({ base: STORY, adapters: [{ path: adapter }], out: merged, dtype: 'F32' }))
      const [before, after] = [readSafetensors(STORY), readSafetensors(merged)]
      const written = JSON.parse(readFileSync(join(merged, 'config.json'), 'utf8')) as Record<string, unknown>
      assert.deepEqual([written['tie_word_embeddings'], after.has('lm_head.weight')], [tied, !tied])
      const [old, now] = [before.get(EMBEDDING), after.get(EMBEDDING)]
      if (old?.dtype === 'F32') assert.equal(Buffer.compare(old.bytes, now?.bytes ?? new Uint8Array()) !== 0, changed)

      const [fused, steps] = [join(folder, 'fused.gguf'), join(folder, 'steps.gguf')]
      const options = { outtype: 'f32', modelfile: false } as const
      await execute(await planGguf({ ...options, model: STORY, adapters: [{ path: adapter }], outfile: fused, modelName: 'x' }))
      await execute(await planGguf({ ...options, model: merged, outfile: steps, modelName: 'x' }))
      assert.equal(Buffer.compare(readFileSync(fused), readFileSync(steps)), 0, 'one pass and two steps give the same bytes')
    })
  }

  it('are never split in a GGUF, which is refused; a matrix that is replaced is', async (t) => {
    const folder = workspace(t, 'tied-gguf')
    const [adapter, model, outfile] = [join(folder, 'adapter'), join(folder, 'story.gguf'), join(folder, 'out.gguf')]
    await execute(await planGguf({ outtype: 'f32', modelfile: false, model: STORY, outfile: model }))
    writeSideFiles(adapter, { 'adapter_config.json': { peft_type: 'LORA', r: 2, lora_alpha: 4 } })
    for (const [tensors, reason] of [
      [embeddingPair, /makes output and embedding differ/],
      [headPair, /makes output and embedding differ/],
    ] as const) {
      writeSafetensors(join(adapter, 'adapter_model.safetensors'), tensors)
      await assert.rejects(
        planGguf({ modelfile: false, model, adapters: [{ path: adapter }], outfile }),
        (error) => error instanceof UnsupportedError && reason.test(error.message),
      )
    }
    writeSafetensors(join(adapter, 'adapter_model.safetensors'), { ...queryPair, [`${Q}.base_layer.weight`]: small(10, WIDTH, WIDTH) })
    const fused = join(folder, 'fused.gguf')
    await execute(await planGguf({ modelfile: false, model, adapters: [{ path: adapter }], outfile }))
    await execute(await planGguf({ outtype: 'f32', modelfile: false, model: STORY, adapters: [{ path: adapter }], outfile: fused }))
    assert.equal(Buffer.compare(readFileSync(outfile), readFileSync(fused)), 0)
  })
})
