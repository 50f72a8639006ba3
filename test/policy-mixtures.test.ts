/** The mixtures against what llama-quantize chose for real shapes, every file type there is. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { quantBytes } from '../src/core/quant-types.js'
import { elementCount } from '../src/core/shape.js'
import { isNamedFileType, normalTypeName } from '../src/quantize/file-types.js'
import { quantizePlan, type QuantizeSource } from '../src/quantize/policy.js'
import { GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'

/** One model of mixtures.json. */
interface Shapes {
  readonly arch: string
  readonly params: { readonly n_layer: number; readonly nh: number; readonly nkv: number }
  readonly kv: Readonly<Record<string, number>>
  /** Of the tensors outside of the layers and of layer 0, innermost dimension first. */
  readonly shapes: Readonly<Record<string, readonly number[]>>
  /** By file type: of each kind of tensor its type, or the layers of each type. */
  readonly types: Readonly<Record<string, Readonly<Record<string, string | Readonly<Record<string, readonly number[]>>>>>>
  /** The order of what is outside of the layers and of layers 0 and 1. */
  readonly order0: readonly string[]
}

describe('the mixtures', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  if (GOLDEN === undefined) return
  const { models } = JSON.parse(readFileSync(join(GOLDEN, 'mixtures.json'), 'utf8')) as { readonly models: Readonly<Record<string, Shapes>> }

  for (const [model, shapes] of Object.entries(models)) {
    it(`choose the types of ${model} as llama-quantize does`, () => {
      const tensors = sourcesOf(shapes)
      for (const [typed, expected] of Object.entries(shapes.types)) {
        const plan = planOf(shapes, tensors, typed)
        const types = plan.tensors.filter(({ type }) => type !== 'f32').map(({ name, type }) => `${name} ${type}`)
        assert.deepEqual(types.sort(), expectedTypes(expected, shapes.params.n_layer).sort(), typed)
        const bytes = plan.tensors.reduce((sum, { index, type }) => sum + quantBytes(type, elementCount(tensors[index]?.shape ?? [])), 0)
        const elements = tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0)
        assert.deepEqual([(bytes / 2 ** 20).toFixed(2), ((bytes * 8) / elements).toFixed(2)], expected['_size'], typed)
      }
    })

    it(`write ${model} in llama-quantize's order`, () => {
      const order = planOf(shapes, sourcesOf(shapes), 'Q4_K_M').tensors.map(({ name }) => name)
      assert.deepEqual(
        order.filter((name) => !name.startsWith('blk.') || /^blk\.[01]\./.test(name)),
        shapes.order0,
      )
    })
  }
})

function planOf({ arch, params, kv }: Shapes, tensors: readonly QuantizeSource[], typed: string): ReturnType<typeof quantizePlan> {
  const fileType = normalTypeName(typed)
  assert.ok(isNamedFileType(fileType), typed)
  const hparams = { layers: params.n_layer, predictionLayers: 0, heads: params.nh, kvHeads: params.nkv, experts: kv['expert_count'] ?? 0 }
  return quantizePlan({ fileType, architecture: arch, hparams, tensors, options: { dryRun: true } })
}

function sourcesOf({ shapes, params }: Shapes): QuantizeSource[] {
  return Object.entries(shapes).flatMap(([name, dimensions]) => {
    const shape = dimensions.toReversed()
    const names = name.startsWith('blk.0.') ? Array.from({ length: params.n_layer }, (_, layer) => name.replace('blk.0.', `blk.${layer}.`)) : [name]
    return names.map((name) => ({ name, shape, storedType: shape.length > 1 && !name.includes('ffn_gate_inp') ? ('f16' as const) : ('f32' as const) }))
  })
}

function expectedTypes(expected: Shapes['types'][string], layers: number): string[] {
  return Object.entries(expected).flatMap(([name, types]) => {
    if (name === '_size') return []
    const groups = typeof types === 'string' ? [[types, Array.from({ length: layers }, (_, layer) => layer)] as const] : Object.entries(types)
    return groups.flatMap(([type, layers]) =>
      /^(?:output|token_embd)/.test(name) ? [`${name} ${type.toLowerCase()}`] : layers.map((layer) => `blk.${layer}.${name} ${type.toLowerCase()}`),
    )
  })
}
