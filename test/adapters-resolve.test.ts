import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { nameOf, Renames, templateOf } from '../src/adapters/rename-paths.js'
import { nearestNames } from '../src/adapters/nearest-names.js'
import { openAdapter } from '../src/adapters/resolve.js'
import type { Adapter } from '../src/core/adapter.js'
import { MismatchError, UnsupportedError } from '../src/core/errors.js'
import { HANG_MS } from './support/hang.js'
import { adapterFolder, baseOf, factors } from './support/adapters.js'
import { refused } from './support/refused.js'

type Shapes = Record<string, readonly number[]>

/** Adapter on modules of 6 inputs and 5 outputs. */
const open = (modules: readonly string[], base: Shapes, config: Record<string, unknown> = {}): Promise<Adapter> =>
  openAdapter(adapterFolder(Object.assign({}, ...modules.map((module) => factors(module, 6, 5))), { target_modules: null, ...config }), baseOf(base))
const targets = async (modules: readonly string[], base: Shapes): Promise<string[]> => (await open(modules, base)).deltas.map(({ target }) => target)
const W = [5, 6] as const

describe('targets of an adapter', () => {
  for (const [what, module, target] of [
    ['the path itself', 'model.layers.0.self_attn.q_proj', 'model.layers.0.self_attn.q_proj.weight'],
    ['an encoder-decoder', 'encoder.block.0.layer.0.SelfAttention.q', 'encoder.block.0.layer.0.SelfAttention.q.weight'],
    ['a classifier', 'score', 'score.weight'],
    ['a base without transformer.', 'transformer.h.0.attn.dense', 'h.0.attn.dense.weight'],
    ['an adapter without model.', 'layers.0.mlp.up_proj', 'model.layers.0.mlp.up_proj.weight'],
    ['a vision-language model of transformers 5', 'model.language_model.layers.0.mlp.up_proj', 'language_model.model.layers.0.mlp.up_proj.weight'],
    ['its output', 'lm_head', 'language_model.lm_head.weight'],
    ['a text-only base of it', 'model.language_model.layers.0.mlp.up_proj', 'model.layers.0.mlp.up_proj.weight'],
    ['an unknown prefix', 'encoder.layer.0.fc', 'my_wrapper.inner.encoder.layer.0.fc.weight'],
    ['gpt_neox', 'lm_head', 'embed_out.weight'],
    ['an expert', 'model.layers.0.mlp.experts.7.up_proj', 'model.layers.0.mlp.experts.7.up_proj.weight'],
  ] as const) {
    it(`finds ${what}`, async () =>
      assert.deepEqual(await targets([module], { [target]: W, 'other.weight': W, [target.replace('weight', 'bias')]: [5] }), [target]))
  }

  it('carries factors, rank and scale over', async () => {
    const { deltas, kind, files } = await open(['score'], { 'score.weight': W })
    assert.deepEqual(
      deltas.map((delta) => [
        delta.variant,
        delta.module,
        delta.rank,
        delta.scale,
        ...(delta.variant === 'lora' ? [delta.A.tensor.name, delta.B.tensor.name] : []),
      ]),
      [['lora', 'score', 2, 2, 'base_model.model.score.lora_A.weight', 'base_model.model.score.lora_B.weight']],
    )
    assert.deepEqual([kind, files], ['PEFT LoRA', ['adapter_model.safetensors', 'adapter_config.json']])
  })

  it("says when names differ from the base's", async () => {
    assert.deepEqual((await open(['score'], { 'score.weight': W })).notes, [])
    assert.match((await open(['layers.0.fc'], { 'model.layers.0.fc.weight': W })).notes[0] ?? '', /"layers\.0\.fc" is "model\.layers\.0\.fc\.weight"/)
  })

  it('names adapter tensor and nearest base tensors when there is none', async () => {
    const base = { 'model.layers.0.self_attn.q_proj.weight': W, 'model.layers.0.self_attn.k_proj.weight': W, 'model.norm.weight': [6] }
    await assert.rejects(
      open(['model.layers.0.self_attn.q_prj'], base),
      refused(
        MismatchError,
        /tensor "base_model\.model\.model\.layers\.0\.self_attn\.q_prj\.lora_A\.weight": .*nearest are "model\.layers\.0\.self_attn\.q_proj\.weight"/,
      ),
    )
    await assert.rejects(open(['nope'], {}), refused(MismatchError, /the base has no tensors/))
  })

  it('never chooses between two', async () => {
    await assert.rejects(
      open(['layers.0.fc'], { 'model.layers.0.fc.weight': W, 'language_model.layers.0.fc.weight': W }),
      refused(MismatchError, /could be any of/),
    )
    await assert.rejects(open(['blocks.0.fc'], { 'a.blocks.0.fc.weight': W, 'b.blocks.0.fc.weight': W }), refused(MismatchError, /could be any of/))
  })

  it('does not let the upper layers of a text model fall into the vision tower', async () => {
    const base = { 'model.layers.0.q_proj.weight': W, 'vision.encoder.layers.0.q_proj.weight': W, 'vision.encoder.layers.1.q_proj.weight': W }
    await assert.rejects(open(['layers.0.q_proj', 'layers.1.q_proj'], base), refused(MismatchError, /has the base fewer layers/))
  })

  it('never changes one tensor by two modules', async () => {
    await assert.rejects(open(['model.layers.0.fc', 'layers.0.fc'], { 'model.layers.0.fc.weight': W }), refused(MismatchError, /changes already/))
  })

  it('holds B·A to the shape of the weight', async () => {
    await assert.rejects(open(['fc'], { 'fc.weight': [5, 7] }), refused(MismatchError, /B·A is \[5, 6\].*"fc\.weight" is \[5, 7\]/))
    await assert.rejects(open(['fc'], { 'fc.weight': [5, 6, 1] }), refused(MismatchError, /\[5, 6, 1\]/))
    await assert.rejects(open(['fc'], { 'fc.weight': [30] }), refused(MismatchError, /\[30\]/))
  })

  it('refuses quantized bases', async () => {
    await assert.rejects(open(['fc'], { 'fc.qweight': [1, 5], 'fc.scales': [1, 5] }), refused(UnsupportedError, /GPTQ or AWQ/))
    await assert.rejects(
      openAdapter(adapterFolder(factors('fc', 6, 5), { target_modules: null }), baseOf({ 'fc.weight': [15, 1] }, 'U8')),
      refused(UnsupportedError, /is U8/),
    )
    await assert.rejects(
      openAdapter(adapterFolder(factors('fc', 6, 5), { target_modules: null }), baseOf({ 'fc.weight': W }, 'F8_E4M3')),
      refused(UnsupportedError, /F8_E4M3/),
    )
  })

  it('unties an output that the base shares with its embedding', async () => {
    const adapter = await open(['lm_head'], { 'model.embed_tokens.weight': W })
    assert.deepEqual(
      [adapter.deltas.map(({ target }) => target), [...(adapter.untied ?? [])]],
      [['lm_head.weight'], [['lm_head.weight', 'model.embed_tokens.weight']]],
    )
    const like = await openAdapter(adapterFolder(factors('lm_head', 6, 5), { target_modules: null }), baseOf({ 'model.embed_tokens.weight': W }), undefined, {
      likePeft: true,
    })
    assert.deepEqual(
      like.deltas.map(({ target }) => target),
      ['model.embed_tokens.weight'],
    )
  })

  it('asks for the biases that the config says were trained, when the base has some', async () => {
    await assert.rejects(open(['fc'], { 'fc.weight': W, 'fc.bias': [5] }, { bias: 'all' }), refused(MismatchError, /"bias" says.*"fc\.bias"/))
    assert.equal((await open(['fc'], { 'fc.weight': W }, { bias: 'all' })).deltas.length, 1)
  })
})

describe('fan_in_fan_out', () => {
  /** Whether the factors of the first delta are turned. */
  const liesTransposed = ({ deltas: [delta] }: Adapter): boolean => {
    assert.ok(delta?.variant === 'lora')
    return delta.B.tensor.name.includes('lora_A')
  }
  const square = (config: Record<string, unknown>, base: Shapes, more: Shapes = {}): Promise<Adapter> =>
    openAdapter(adapterFolder({ ...factors('h.0.c_proj', 6, 6), ...more }, { target_modules: null, ...config }), baseOf(base))

  it('is decided by the shape where that tells', async () => {
    assert.equal(liesTransposed(await open(['h.0.c_attn'], { 'h.0.c_attn.weight': [6, 5] }, { fan_in_fan_out: true })), true)
    assert.equal(liesTransposed(await open(['h.0.c_attn'], { 'h.0.c_attn.weight': [6, 5] }, { fan_in_fan_out: false })), true)
    assert.equal((await open(['h.0.fc'], { 'h.0.fc.weight': W }, { fan_in_fan_out: true })).deltas.length, 1) // PEFT corrects it silently
  })

  it('asks when a square matrix cannot tell', async () => {
    await assert.rejects(square({ fan_in_fan_out: true }, { 'h.0.c_proj.weight': [6, 6] }), refused(MismatchError, /set fan_in_fan_out to false/))
    assert.equal((await square({ fan_in_fan_out: false }, { 'h.0.c_proj.weight': [6, 6] })).deltas.length, 1)
    assert.equal(
      (await square({ fan_in_fan_out: true }, { 'h.0.c_proj.weight': [6, 6], 'h.0.fc.weight': [5, 6] }, factors('h.0.fc', 6, 5) as Shapes)).deltas.length,
      2,
    )
  })

  it('is seen in the biases next to a square matrix, whatever the config says', async () => {
    const base = { 'h.0.c_proj.weight': [6, 6], 'h.0.c_attn.weight': [6, 18], 'h.0.c_attn.bias': [18], 'h.0.c_proj.bias': [6] }
    assert.equal(liesTransposed(await square({ fan_in_fan_out: false }, base)), true)
    const plain = { ...base, 'h.0.c_attn.weight': [18, 6] }
    assert.equal(liesTransposed(await square({ fan_in_fan_out: false }, plain)), false)
  })
})

describe('names for messages and renames', () => {
  it('are the nearest by edit distance', () => {
    const names = [
      'lm_head.weight',
      'model.layers.10.self_attn.q_proj.weight',
      'model.layers.0.self_attn.q_proj.weight',
      'model.layers.0.mlp.experts.3.down_proj.weight',
    ]
    assert.deepEqual(nearestNames('model.layers.0.attn.q_proj.weight', names, 2), [
      'model.layers.0.self_attn.q_proj.weight',
      'model.layers.10.self_attn.q_proj.weight',
    ])
    assert.deepEqual(nearestNames('x', []), [])
  })

  it('cost bounded time on long and many names', () => {
    const started = performance.now()
    nearestNames(
      'a.'.repeat(25_000),
      Array.from({ length: 20_000 }, (_, i) => `model.layers.${i}.${'x'.repeat(300)}.weight`),
    )
    assert.ok(performance.now() - started < HANG_MS)
  })

  it('are renamed by rows of the table in both directions, numbers kept', () => {
    const renames = new Renames(undefined, [
      { family: 'x', renames: [['layers.#.mlp.gate', 'layer.#.moe.gate']] },
      { family: 'y', only: ['y'], renames: [['mlp', 'ffn']] },
    ])
    const { text, numbers } = templateOf('model.layers.3.mlp.gate.weight')
    assert.deepEqual([text, numbers], ['model.layers.#.mlp.gate.weight', ['3']])
    assert.deepEqual(renames.variants(text), [['model.layer.#.moe.gate.weight']])
    assert.deepEqual(renames.variants('model.layer.#.moe.gate.weight')[0], [text])
    assert.equal(nameOf('model.layer.#.moe.gate.weight', numbers), 'model.layer.3.moe.gate.weight')
    assert.deepEqual(new Renames(new Set(['y']), [{ family: 'y', only: ['y'], renames: [['mlp', 'ffn']] }]).variants('a.mlp.b')[0], ['a.ffn.b'])
  })

  it('cost bounded time to rename, however often a component repeats', () => {
    const started = performance.now()
    new Renames(undefined).variants('mlp.vision_tower.'.repeat(10_000))
    new Renames(undefined).variants('mlp.vision_tower.mlp.'.repeat(13) + 'x')
    assert.ok(performance.now() - started < HANG_MS)
  })
})
