/** LoRA on parameters: which one, in which direction, packed how, wherever the base keeps it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { openAdapter, type ResolveOptions } from '../src/adapters/resolve.js'
import type { Adapter } from '../src/core/adapter.js'
import type { Delta, LowRank } from '../src/core/delta.js'
import { FormatError, MismatchError, UnsupportedError } from '../src/core/errors.js'
import { parseJsonObject } from '../src/core/json.js'
import { adapterFolder, baseOf, factors, type Tensors } from './support/adapters.js'
import { refused } from './support/refused.js'

type Shapes = Record<string, readonly number[]>

const E = 3 // experts
const R = 2 // rank
const [H, I] = [8, 5] // hidden and intermediate size
const MLP = 'model.layers.0.mlp'
const EXPERTS = `${MLP}.experts`

/** Factors of a parameter of E experts. */
const stack = (module: string, inputs: number, out: number, rank = R): Tensors => factors(module, inputs, out, E * rank)
const config = (model: Record<string, unknown>): ResolveOptions => ({ config: parseJsonObject(new TextEncoder().encode(JSON.stringify(model)), 'config.json') })
const bind = (tensors: Tensors, base: Shapes, changes: Record<string, unknown> = {}, options: ResolveOptions = {}): Promise<Adapter> =>
  openAdapter(
    adapterFolder(tensors, {
      target_modules: [],
      target_parameters: ['mlp.experts.gate_up_proj', 'mlp.experts.down_proj'],
      peft_version: '0.21.2',
      ...changes,
    }),
    baseOf(base),
    undefined,
    options,
  )

/** Where the factors of each expert begin, and how far apart ranks lie: [offset of A, offset of B, colStride of B]. */
const places = (delta: Delta | undefined): (readonly number[])[] => {
  assert.ok(delta?.variant === 'experts')
  return delta.parts.map(({ A, B }: LowRank) => [A.offset, B.offset, B.colStride])
}

const FUSED = { [`${EXPERTS}.gate_up_proj`]: [E, 2 * I, H], [`${EXPERTS}.down_proj`]: [E, H, I] } as const
const BOTH = { ...stack(`${EXPERTS}.base_layer`, H, 2 * I), ...stack(EXPERTS, I, H) }

function apart(path: string, gate: string, up: string, down: string): Shapes {
  const shapes: Record<string, readonly number[]> = {}
  for (let expert = 0; expert < E; expert++) {
    shapes[`${path}.${expert}.${gate}.weight`] = [I, H]
    shapes[`${path}.${expert}.${up}.weight`] = [I, H]
    shapes[`${path}.${expert}.${down}.weight`] = [H, I]
  }
  return shapes
}

describe('factors of fused experts', () => {
  it('go to fused parameters, B rank by rank as PEFT packs it', async () => {
    const { deltas, warnings } = await bind(BOTH, FUSED)
    assert.deepEqual(
      deltas.map(({ target }) => target),
      [`${EXPERTS}.gate_up_proj`, `${EXPERTS}.down_proj`],
    )
    assert.deepEqual(places(deltas[0]), [
      [0, 0, E],
      [R * H, 1, E],
      [2 * R * H, 2, E],
    ])
    assert.deepEqual(warnings, [])
  })

  for (const [what, path, names] of [
    ['qwen, deepseek, glm', EXPERTS, ['gate_proj', 'up_proj', 'down_proj']],
    ['mixtral', 'model.layers.0.block_sparse_moe.experts', ['w1', 'w3', 'w2']],
    ['dots', EXPERTS, ['fc1', 'fc3', 'fc2']],
  ] as const) {
    it(`go to experts that the checkpoint stores apart: ${what}`, async () => {
      const [gate, up, down] = names
      const { deltas } = await bind(BOTH, apart(path, gate, up, down))
      assert.deepEqual(deltas.map(({ target }) => target).sort(), Object.keys(apart(path, gate, up, down)).sort())
      const upOfLast = deltas.find(({ target }) => target === `${path}.2.${up}.weight`)
      assert.ok(upOfLast?.variant === 'lora')
      // its rows begin after those of the gate, its rank after those of two experts
      assert.deepEqual([upOfLast.B.offset, upOfLast.B.rows, upOfLast.A.offset, upOfLast.rank], [I * E * R + 2, I, 2 * R * H, R])
    })
  }

  it('go to one tensor for each part', async () => {
    const base = {
      'model.layers.0.moe.gate_proj.weight': [E, I, H],
      'model.layers.0.moe.up_proj.weight': [E, I, H],
      'model.layers.0.moe.down_proj.weight': [E, H, I],
    }
    const { deltas } = await bind(BOTH, base)
    assert.deepEqual(
      deltas.map(({ target }) => target),
      Object.keys(base),
    )
    assert.deepEqual(places(deltas[1]), [
      [0, I * E * R, E],
      [R * H, I * E * R + 1, E],
      [2 * R * H, I * E * R + 2, E],
    ])
  })

  it('go to fused parameters under the names of the checkpoint', async () => {
    const tensors = { ...stack('model.layers.0.block_sparse_moe.experts.base_layer', H, 2 * I), ...stack('model.layers.0.block_sparse_moe.experts', I, H) }
    const base = { 'model.layers.0.block_sparse_moe.input_linear.weight': [E, 2 * I, H], 'model.layers.0.block_sparse_moe.output_linear.weight': [E, H, I] }
    const { deltas } = await bind(tensors, base, { target_parameters: ['block_sparse_moe.experts.gate_up_proj', 'experts.down_proj'] })
    assert.deepEqual(
      deltas.map(({ target }) => target),
      Object.keys(base),
    )
  })

  it('are known by rank and shape where the config names no module, as PEFT writes it for all-linear', async () => {
    const q = 'model.layers.0.self_attn.q_proj'
    const tensors = {
      ...stack(`${EXPERTS}.base_layer`, H, 2 * I, 2 * R),
      ...stack(EXPERTS, I, H),
      ...factors(`${MLP}.gate`, H, E),
      ...factors(q, H, H),
    }
    const { deltas } = await bind(
      tensors,
      { ...FUSED, [`${MLP}.gate.weight`]: [E, H], [`${q}.weight`]: [H, H] },
      {
        target_modules: ['q_proj'],
        target_parameters: ['gate.weight', 'gate_up_proj', 'down_proj'],
        rank_pattern: { '.*\\.gate_up_proj': 2 * R },
        alpha_pattern: { '.*\\.gate_up_proj': 8 },
      },
    )
    assert.deepEqual(deltas.map(({ target, variant, rank, scale }) => `${target} ${variant} ${rank} ${scale}`).sort(), [
      `${EXPERTS}.down_proj experts ${R} 2`,
      `${EXPERTS}.gate_up_proj experts ${2 * R} 2`,
      `${MLP}.gate.weight lora ${R} 2`,
      `${q}.weight lora ${R} 2`,
    ])
  })

  it('are held to the rank of the config also where they turn out to be of an ordinary module', async () => {
    const tensors = factors('fc', 6, 5, 3)
    await assert.rejects(
      bind(tensors, { 'fc.weight': [5, 6] }, { target_parameters: ['gate_up_proj'] }),
      refused(MismatchError, /rank 3, but its config gives it rank 2/),
    )
  })

  it('name the parameters when none fits', async () => {
    const wrong = stack(EXPERTS, H + 1, H)
    await assert.rejects(
      bind(wrong, FUSED),
      refused(MismatchError, /fit none of the parameters of "model\.layers\.0\.mlp\.experts".*gate_up_proj \[3, 10, 8\] of rank 2/),
    )
  })

  it('refuse a base in MXFP4 with the way out', async () => {
    const base = { [`${EXPERTS}.gate_up_proj_blocks`]: [E, 2 * I, 1, 16], [`${EXPERTS}.gate_up_proj_scales`]: [E, 2 * I, 1] }
    await assert.rejects(bind(stack(EXPERTS, H, 2 * I), base), refused(UnsupportedError, /MXFP4.*16-bit model/))
  })
})

describe('the direction of factors of parameters', () => {
  const turned = ({ deltas: [delta] }: Adapter): boolean => {
    assert.ok(delta?.variant === 'experts')
    return delta.parts[0]?.B.tensor.name.includes('lora_A') === true
  }
  const one = { target_parameters: ['mlp.experts.down_proj'] }

  it('is told by shapes', async () => {
    const base = { [`${EXPERTS}.down_proj`]: [E, H, I] }
    assert.equal(turned(await bind(stack(EXPERTS, I, H), base, one)), false)
    assert.equal(turned(await bind(stack(EXPERTS, H, I), base, one)), true)
  })

  const square = { [`${EXPERTS}.down_proj`]: [E, H, H] }
  for (const [what, version, model, expected] of [
    ['PEFT 0.19 and later', '0.19.0', { model_type: 'qwen3_moe' }, false],
    ['PEFT up to 0.18', '0.18.1', { model_type: 'qwen3_moe' }, true],
    ['a class that holds inputs as rows, whatever the version', '0.21.2', { model_type: 'gpt_oss' }, true],
    ['the same, older', '0.18.1', { model_type: 'gpt_oss' }, true],
    ['the same as a part', '0.21.2', { model_type: 'x', text_config: { model_type: 'aria_text' } }, true],
    ['a checkpoint that transformers transposes only where shapes ask for it', '0.21.2', { model_type: 'qwen3_vl_moe' }, false],
  ] as const) {
    it(`of square ones is told by version and model: ${what}`, async () => {
      assert.equal(turned(await bind(stack(EXPERTS, H, H), square, { ...one, peft_version: version }, config(model))), expected)
    })
  }

  for (const [what, version, options] of [
    ['no version', undefined, config({ model_type: 'qwen3_moe' })],
    ['no config of the base', '0.21.2', {}],
  ] as const) {
    it(`of square ones is never guessed: ${what}`, async () => {
      await assert.rejects(
        bind(stack(EXPERTS, H, H), square, { ...one, peft_version: version }, options),
        refused(MismatchError, /in either direction: shapes do not tell/),
      )
    })
  }

  it('tells two parameters apart that are each other’s transpose', async () => {
    const mixer = 'model.layers.0.mixer.experts'
    const base = { [`${mixer}.up_proj`]: [E, I, H], [`${mixer}.down_proj`]: [E, H, I] }
    const tensors = { ...stack(`${mixer}.base_layer`, H, I), ...stack(mixer, I, H) }
    const changes = { target_parameters: ['mixer.experts.up_proj', 'mixer.experts.down_proj'] }
    const { deltas } = await bind(tensors, base, changes, config({ model_type: 'nemotron_h' }))
    assert.deepEqual(
      deltas.map(({ target, module }) => [target, module]),
      Object.keys(base).map((name) => [name, name]),
    )
    // square ones by the order in which PEFT wraps them
    const squares = { [`${mixer}.up_proj`]: [E, H, H], [`${mixer}.down_proj`]: [E, H, H] }
    const nested = await bind({ ...stack(mixer, H, H), ...stack(`${mixer}.base_layer`, H, H) }, squares, changes, config({ model_type: 'nemotron_h' }))
    assert.deepEqual(
      nested.deltas.map((delta) => [delta.target, delta.variant === 'experts' && (delta.parts[0]?.A.tensor.name.includes('base_layer') ?? false)]),
      [
        [`${mixer}.down_proj`, false],
        [`${mixer}.up_proj`, true],
      ],
    )
  })
})

describe('how B of fused experts is packed', () => {
  const byExpert = [
    [0, 0, 1],
    [R * H, R, 1],
    [2 * R * H, 2 * R, 1],
  ]

  it('is read expert by expert when asked, with a warning', async () => {
    const { deltas, warnings = [] } = await bind(BOTH, FUSED, {}, { expertMajorB: true })
    assert.deepEqual(places(deltas[0]), byExpert)
    assert.match(warnings.join(), /expert by expert, as asked/)
  })

  it('is what the adapter says, for all or for one parameter', async () => {
    for (const marker of [
      { lora_B_layout: 'grouped_by_expert' },
      { unsloth_fused_expert_lora: { parameters: { gate_up_proj: { lora_B_layout: 'grouped_by_expert' } } } },
    ]) {
      const { deltas, warnings } = await bind(stack(EXPERTS, H, 2 * I), FUSED, { ...marker, base_model_name_or_path: 'unsloth/x' })
      assert.deepEqual([places(deltas[0]), warnings], [byExpert, []])
    }
    const plain = await bind(BOTH, FUSED, { lora_B_layout: 'rank_major', base_model_name_or_path: 'unsloth/x' })
    assert.deepEqual([places(plain.deltas[0])[1], plain.warnings], [[R * H, 1, E], []])
  })

  it('is asked for when Unsloth trained the adapter and it says nothing', async () => {
    const { warnings = [], deltas } = await bind(BOTH, FUSED, { base_model_name_or_path: 'unsloth/Qwen3-30B-A3B' })
    assert.match(warnings.join(), /Unsloth.*--expert-major-b/)
    assert.deepEqual(places(deltas[0])[1], [R * H, 1, E])
  })

  it('is never changed against the adapter’s own word, or by an unknown one', async () => {
    await assert.rejects(bind(BOTH, FUSED, { lora_B_layout: 'rank_major' }, { expertMajorB: true }), refused(MismatchError, /take the option away/))
    await assert.rejects(bind(BOTH, FUSED, { lora_B_layout: 'diagonal' }), refused(UnsupportedError, /"diagonal", which is not known/))
    await assert.rejects(bind(BOTH, FUSED, { lora_B_layout: 3 }), refused(UnsupportedError, /not known/))
    await assert.rejects(bind(BOTH, FUSED, { target_parameters: 'x' }), refused(FormatError, /target_parameters/))
  })
})
