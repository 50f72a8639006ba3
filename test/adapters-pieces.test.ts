/** LoRA on a module that the base keeps as a piece of another tensor: the same numbers come out as where it is kept apart. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { openAdapter } from '../src/adapters/resolve.js'
import type { Adapter } from '../src/core/adapter.js'
import { MismatchError, UnsupportedError } from '../src/core/errors.js'
import { execute, planMerge } from '../src/index.js'
import { adapterFolder, baseOf, factors, type Tensors } from './support/adapters.js'
import { readSafetensors, type PlainTensor } from './support/plain-tensors.js'
import { refused } from './support/refused.js'
import { seededTensor, writeAdapter, writeWeights } from './support/tiny-models.js'
import { workspace } from './support/workspace.js'

const E = 3
const [H, I] = [8, 5]
const EXPERTS = 'model.layers.0.mlp.experts'

const bind = (tensors: Tensors, base: Record<string, readonly number[]>, changes: Record<string, unknown> = {}): Promise<Adapter> =>
  openAdapter(adapterFolder(tensors, { target_modules: null, ...changes }), baseOf(base))

const joined = (tensors: readonly (PlainTensor | undefined)[], shape: readonly number[]): PlainTensor => ({
  dtype: 'F32',
  shape,
  bytes: Buffer.concat(tensors.map((one) => one?.bytes ?? assert.fail())),
})

/** The same experts as one tensor for each parameter. */
function fusedOf(apart: ReadonlyMap<string, PlainTensor>): Record<string, PlainTensor> {
  const of = (...parts: string[]): PlainTensor[] =>
    Array.from({ length: E }, (_, expert) => parts.map((part) => apart.get(`${EXPERTS}.${expert}.${part}.weight`) ?? assert.fail())).flat()
  return {
    [`${EXPERTS}.gate_up_proj`]: joined(of('gate_proj', 'up_proj'), [E, 2 * I, H]),
    [`${EXPERTS}.down_proj`]: joined(of('down_proj'), [E, H, I]),
  }
}

describe('adapters on single experts', () => {
  it('change a base that keeps them fused as one that keeps them apart, and so do adapters on all of them', async (t) => {
    const folder = workspace(t)
    const apart: Record<string, PlainTensor> = {}
    const modules: Record<string, [number, number]> = {}
    for (let expert = 0; expert < E; expert++) {
      for (const [part, shape] of [
        ['gate_proj', [I, H]],
        ['up_proj', [I, H]],
        ['down_proj', [H, I]],
      ] as const) {
        const module = `${EXPERTS}.${expert}.${part}`
        apart[`${module}.weight`] = seededTensor(Object.keys(apart).length + 1, 'F32', shape)
        if (expert !== 1 || part !== 'up_proj') modules[module] = [shape[0], shape[1]] // one of them was not trained
      }
    }
    const bases = {
      apart: writeWeights(join(folder, 'apart'), { 'model.safetensors': apart }),
      fused: writeWeights(join(folder, 'fused'), { 'model.safetensors': fusedOf(new Map(Object.entries(apart))) }),
    }
    const stack = { peft_version: '0.21.2', target_modules: [], target_parameters: ['gate_up_proj', 'down_proj'], rank_pattern: { experts: 4 } }
    const adapters = {
      single: writeAdapter(join(folder, 'single'), { modules, rank: 4, config: { alpha_pattern: { gate_proj: 3 } } }),
      all: writeAdapter(join(folder, 'all'), {
        modules: { [`${EXPERTS}.base_layer`]: [2 * I, H], [EXPERTS]: [H, I] },
        rank: 4 * E,
        config: { r: 4, ...stack },
      }),
    }
    for (const [name, path] of Object.entries(adapters)) {
      const [one = new Map<string, PlainTensor>(), two] = await Promise.all(
        Object.entries(bases).map(async ([kind, base]) => {
          const out = join(folder, `${name}-${kind}`)
          await execute(await planMerge({ base, adapters: [{ path }], out, tileElements: 40 }))
          return readSafetensors(out)
        }),
      )
      for (const [parameter, { bytes }] of Object.entries(fusedOf(one))) {
        assert.deepEqual(two?.get(parameter)?.bytes.slice(), new Uint8Array(bytes), `${name}: ${parameter}`)
        assert.notDeepEqual(new Uint8Array(bytes), fusedOf(new Map(Object.entries(apart)))[parameter]?.bytes, 'nothing was changed')
      }
    }
  })

  it('leave the rows of other experts alone', async () => {
    const { deltas } = await bind(factors(`${EXPERTS}.1.up_proj`, H, I), { [`${EXPERTS}.gate_up_proj`]: [E, 2 * I, H] })
    const [delta] = deltas
    assert.ok(delta?.variant === 'grouped' && deltas.length === 1)
    assert.deepEqual(
      delta.parts.map((part) => ('zeros' in part ? -part.zeros : part.B.rows)),
      [-3 * I, I, -2 * I],
    )
  })

  it('need the shape of a part, an expert that is there, and plain LoRA', async () => {
    const base = { [`${EXPERTS}.gate_up_proj`]: [E, 2 * I, H] }
    await assert.rejects(bind(factors(`${EXPERTS}.${E}.up_proj`, H, I), base), refused(MismatchError, /do not fit.*\[3, 10, 8\].*expert 3/))
    await assert.rejects(bind(factors(`${EXPERTS}.0.up_proj`, H, 2 * I), base), refused(MismatchError, /do not fit/))
    const dora = { ...factors(`${EXPERTS}.0.up_proj`, H, I), [`base_model.model.${EXPERTS}.0.up_proj.lora_magnitude_vector`]: [I] }
    await assert.rejects(bind(dora, base, { use_dora: true }), refused(UnsupportedError, /only plain LoRA can be merged, not magnitude/))
  })

  it('never change rows twice', async () => {
    const twice = { ...factors(`${EXPERTS}.0.up_proj`, H, I), ...factors('layers.0.mlp.experts.0.up_proj', H, I) }
    await assert.rejects(bind(twice, { [`${EXPERTS}.gate_up_proj`]: [E, 2 * I, H] }), refused(MismatchError, /changes already/))
  })
})

describe('adapters on linear layers', () => {
  it('change their rows of a layer that the checkpoint keeps fused', async () => {
    const { deltas } = await bind(factors('layers.0.self_attn.k_proj', H, H), { 'encoder.layers.0.attn.Wqkv.weight': [3 * H, H] })
    const [delta] = deltas
    assert.ok(delta?.variant === 'grouped')
    assert.deepEqual(
      [delta.target, ...delta.parts.map((part) => ('zeros' in part ? -part.zeros : part.B.rows))],
      ['encoder.layers.0.attn.Wqkv.weight', -H, H, -H],
    )
  })

  it('on fused layers change the parts that the checkpoint keeps apart', async () => {
    const base = { 'layers.0.mlp.gate_proj.weight': [I, H], 'layers.0.mlp.up_proj.weight': [I + 1, H] }
    const { deltas } = await bind(factors('layers.0.mlp.gate_up_proj', H, 2 * I + 1), base)
    assert.deepEqual(
      deltas.map((delta) => [delta.target, delta.variant === 'grouped' && delta.parts.map((part) => ('zeros' in part ? 0 : part.B.offset))]),
      [
        ['layers.0.mlp.gate_proj.weight', [0]],
        ['layers.0.mlp.up_proj.weight', [I * 2]],
      ],
    )
    await assert.rejects(bind(factors('layers.0.mlp.gate_up_proj', H, 2 * I), base), refused(MismatchError, /do not fit/))
  })
})
