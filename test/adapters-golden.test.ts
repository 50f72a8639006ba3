/** Adapters of the golden data: targets, scales, and that W + scale · B·A is what PEFT made of it. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { openAdapter } from '../src/adapters/resolve.js'
import type { Adapter } from '../src/core/adapter.js'
import { ToolkitError } from '../src/core/errors.js'
import type { TensorInfo } from '../src/core/tensor-info.js'
import { openFolder } from '../src/sources/files.js'
import { openModel } from '../src/sources/model.js'
import { excess, mergedValues, valuesOf } from './support/adapters.js'
import { GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'

const MERGE = join(GOLDEN ?? '', 'merge')
const baseOf = async (name: string): Promise<ReadonlyMap<string, TensorInfo>> => (await openModel(join(MERGE, name, 'base'))).tensors
const open = async (name: string, adapter = 'adapter'): Promise<Adapter> => openAdapter(await openFolder(join(MERGE, name, adapter)), await baseOf(name))

/** Fails unless every tensor of the expected model is what the deltas make of the base. @returns how many tensors were changed */
async function assertMerges(name: string, adapters: readonly { adapter: Adapter; weight: number }[], expectedFile: string): Promise<number> {
  const base = await baseOf(name)
  const { tensors: expected } = await openModel(join(MERGE, name, expectedFile))
  let changed = 0
  for (const [tensorName, wanted] of expected) {
    const weight = base.get(tensorName)
    assert.ok(weight, `${name}: ${tensorName} is not in the base`)
    const deltas = adapters.flatMap(({ adapter, weight: share }) =>
      adapter.deltas.flatMap((delta) => {
        if (delta.target !== tensorName) return []
        assert.ok(delta.variant === 'lora', `${delta.variant} is held by golden-merge.test.ts`)
        return [{ delta, weight: share }]
      }),
    )
    if (deltas.length > 0) changed++
    assert.ok(excess(await mergedValues(weight, deltas), await valuesOf(wanted)) <= 0, `${name}: ${tensorName} differs from ${expectedFile}`)
  }
  for (const { adapter } of adapters) for (const { target } of adapter.deltas) assert.ok(expected.has(target), `${name}: ${target} is not in ${expectedFile}`)
  return changed
}

const PLAIN = ['llama_plain_r8', 'llama_bf16_sharded', 'llama_bf16_adapter_bf16', 'llama_rslora', 'llama_rank_alpha_pattern', 'init_gaussian']

describe('PEFT adapters of the golden data', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  for (const name of PLAIN) {
    it(`merges ${name} as PEFT does`, async () => {
      const adapter = await open(name)
      assert.equal(await assertMerges(name, [{ adapter, weight: 1 }], 'expected'), adapter.deltas.length)
    })
  }

  for (const [first, second] of [
    [1, 1],
    [0.7, 0.3],
    [1, -0.5],
  ] as const) {
    it(`adds two adapters with weights ${first} and ${second}`, async () => {
      const adapters = [
        { adapter: await open('two_adapters'), weight: first },
        { adapter: await open('two_adapters', 'adapter-b'), weight: second },
      ]
      assert.ok((await assertMerges('two_adapters', adapters, `expected-cat-${first}-${second}/changed.safetensors`)) > 0)
    })
  }

  it('adds two rsLoRA adapters without the factor that PEFT gets wrong', async () => {
    const adapters = [
      { adapter: await open('two_adapters_rslora'), weight: 0.7 },
      { adapter: await open('two_adapters_rslora', 'adapter-b'), weight: 0.3 },
    ]
    assert.ok((await assertMerges('two_adapters_rslora', adapters, 'expected-correct-0.7-0.3/changed.safetensors')) > 0)
  })

  it('gives each module the scale of the first pattern that matches it', async () => {
    const { deltas } = await open('llama_rank_alpha_pattern')
    // adapter_config.json: r 4, alpha 8; ranks k_proj of layer 0: 3, up_proj of layer 1: 6, q_proj: 2; alphas down_proj: 5, v_proj: 24
    const expected = (module: string): [number, number] => {
      if (module === 'model.layers.0.self_attn.k_proj') return [3, 8 / 3]
      if (module === 'model.layers.1.mlp.up_proj') return [6, 8 / 6]
      if (module.endsWith('.q_proj')) return [2, 8 / 2]
      if (module.endsWith('.down_proj')) return [4, 5 / 4]
      return module.endsWith('.v_proj') ? [4, 24 / 4] : [4, 8 / 4]
    }
    for (const { module, rank, scale } of deltas) assert.deepEqual([rank, scale], expected(module), module)
    assert.deepEqual((await open('llama_rslora')).deltas[0]?.scale, 12 / Math.sqrt(6))
  })

  it('takes keys with the adapter name in them, and without a prefix, for the same adapter', async () => {
    const shown = ({ deltas }: Adapter): unknown =>
      deltas.map((delta) => [
        delta.target,
        delta.module,
        delta.rank,
        delta.scale,
        ...(delta.variant === 'lora' ? [delta.A.tensor.shape, delta.B.tensor.shape] : []),
      ])
    const plain = await open('broken_adapters')
    assert.equal(plain.deltas.length, 2)
    for (const same of ['adapter-name_in_key', 'adapter-no_prefix']) assert.deepEqual(shown(await open('broken_adapters', same)), shown(plain))
  })

  for (const [fault, exitCode, reason] of [
    ['missing_b', 6, /q_proj\.lora_A\.weight": has no partner lora_B/],
    ['wrong_shape', 6, /q_proj\.lora_A\.weight": B·A is \[32, 31\].*"model\.layers\.0\.self_attn\.q_proj\.weight" is \[32, 32\]/],
    ['zero3', 6, /q_proj\.lora_A\.weight": is empty.*ZeRO-3/],
    ['unknown_module', 6, /has no weight in the base; nearest are "model\.layers\.0\./],
    ['r_differs', 6, /rank 4, but adapter_config\.json gives it rank 8/],
    ['r0', 3, /"r" must be a whole number from 1 to 65536, found the number 0/],
  ] as const) {
    it(`refuses broken_adapters/adapter-${fault} with its reason`, async () => {
      await assert.rejects(open('broken_adapters', `adapter-${fault}`), (error: unknown) => {
        assert.ok(error instanceof ToolkitError)
        assert.equal(error.exitCode, exitCode)
        assert.match(error.message, reason)
        return true
      })
    })
  }

  for (const [name, reason] of [
    ['reject_alora', /alora_invocation_tokens.*cannot be merged/],
    ['reject_prefix_tuning', /PREFIX_TUNING.*cannot be merged/],
    ['reject_prompt_tuning', /PROMPT_TUNING.*cannot be merged/],
    ['variant_layer_replication', /layer_replication/],
    ['llama_lora_bias_nobias', /has no bias/],
    ['vera_no_projection', /save_projection/],
    ['mimic_gptq', /GPTQ/],
    ['mimic_bnb_nf4', /is U8 \(quantized\)/],
    ['fp8_block_base', /F8_E4M3/],
  ] as const) {
    it(`refuses ${name} with its reason`, { skip: !existsSync(join(MERGE, name)) }, async () => {
      await assert.rejects(open(name), (error: unknown) => error instanceof ToolkitError && [4, 6].includes(error.exitCode) && reason.test(error.message))
    })
  }

  it('refuses adapters whose initialisation changed the base, and merges their conversions', async () => {
    for (const name of ['llama_pissa', 'llama_olora']) {
      await assert.rejects(open(name, 'adapter-native'), /init_lora_weights.*changes the base/)
      await assertMerges(name, [{ adapter: await open(name), weight: 1 }], 'expected')
    }
  })
})
