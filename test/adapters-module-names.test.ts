/** Adapters of transformers 5 find their tensors in checkpoints, whose names transformers changes on loading: facts from all of its own classes that matter here. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { MODULE_RENAMES } from '../src/adapters/module-renames.js'
import { ModulePaths } from '../src/adapters/module-paths.js'
import { MismatchError } from '../src/core/errors.js'
import { baseOf } from './support/adapters.js'
import { FIXTURES } from './support/paths.js'
import { refused } from './support/refused.js'

interface Form {
  readonly type: string
  readonly class: string
  /** In the class -> in the checkpoint; `#` for numbers. */
  readonly names: Readonly<Record<string, string>>
}

const FORMS = JSON.parse(readFileSync(join(FIXTURES, 'adapters', 'module-names.json'), 'utf8')) as readonly Form[]
const ofLayer = (name: string, layer: number): string => name.replaceAll('#', String(layer))
const moduleOf = (name: string): string => name.replace(/\.weight$/, '')

describe('modules of transformers 5', () => {
  for (const { type, class: className, names } of FORMS) {
    const base = baseOf(Object.fromEntries([0, 1, 11].flatMap((layer) => Object.values(names).map((name) => [ofLayer(name, layer), [4, 4]] as const))))

    it(`are found in checkpoints of ${type} (${className}), and without a config too where no row asks for one`, () => {
      const needsType = MODULE_RENAMES.some(({ only }) => only?.includes(type) === true)
      for (const types of [new Set([type]), ...(needsType ? [] : [undefined])]) {
        const paths = new ModulePaths(base, types)
        for (const [name, wanted] of Object.entries(names))
          for (const layer of [0, 11]) assert.equal(paths.find(moduleOf(ofLayer(name, layer)), {})?.name, ofLayer(wanted, layer), name)
      }
    })

    it(`and the other way round, should a base of ${type} have the names of its class`, () => {
      const ofClass = baseOf(Object.fromEntries(Object.keys(names).map((name) => [ofLayer(name, 0), [4, 4]])))
      const paths = new ModulePaths(ofClass, new Set([type]))
      for (const [name, wanted] of Object.entries(names)) assert.equal(paths.find(moduleOf(ofLayer(wanted, 0)), {})?.name, ofLayer(name, 0), wanted)
    })
  }

  it('are of the families that people train', () => {
    assert.ok(new Set(FORMS.map(({ type }) => type)).size >= 35)
  })
})

describe('renames', () => {
  const find = (module: string, names: readonly string[], types?: readonly string[]): string | undefined =>
    new ModulePaths(baseOf(Object.fromEntries(names.map((name) => [name, [4, 4]]))), types && new Set(types)).find(module, {})?.name

  it('that would fit other models need the type of theirs', () => {
    const names = ['layers.0.mlp.up_proj.weight']
    assert.equal(find('layers.0.mlp.fc1', names), undefined)
    assert.equal(find('layers.0.mlp.fc1', names, ['llama']), undefined)
    assert.equal(find('layers.0.mlp.fc1', names, ['cosmos3_edge']), 'layers.0.mlp.up_proj.weight')
  })

  it('never lead there and back: the vision tower of mistral_large4 has another order of rows', () => {
    assert.equal(find('vision.layers.0.attention.q_proj', ['vision.layers.0.attention.wq.weight'], ['mistral_large4']), undefined)
  })

  it('are never a choice', () => {
    assert.throws(
      () => find('model.layers.0.mlp.gate', ['model.layers.0.block_sparse_moe.gate.weight', 'model.layers.0.moe.gate.weight']),
      refused(MismatchError, /could be any of/),
    )
  })

  it('have as many numbers on both sides', () => {
    const numbers = (name: string): number => name.split('.').filter((part) => part === '#').length
    for (const { renames } of MODULE_RENAMES) for (const [module, checkpoint] of renames) assert.equal(numbers(module), numbers(checkpoint), module)
  })
})
