/**
 * Every supported class of fixtures/architectures against what llama.cpp's converter makes of the same model: all keys in
 * order, and every tensor's name, type, shape and bytes, as f32, f16, bf16 (auto) and q8_0.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { supportedArchitectures } from '../src/architectures/registry.js'
import type { KeyValue } from '../src/core/key-value.js'
import { execute, planGguf } from '../src/index.js'
import { ARCHITECTURE_GAPS } from './support/architecture-gaps.js'
import {
  OUTTYPES,
  architectureFixtures,
  writeArchitectureModel,
  type ArchitectureFixture,
  type ExpectedFile,
  type FixtureOuttype,
} from './support/architecture-fixtures.js'
import { readGguf, sha256, type GgufFile } from './support/gguf-file.js'
import { seededTensor } from './support/seeded-weights.js'
import { workspace } from './support/workspace.js'

/** They follow from the folder's name (other tests hold them), or are the same in every file. */
const NOT_COMPARED = new Set([
  'general.name',
  'general.basename',
  'general.finetune',
  'general.version',
  'general.type',
  'general.quantization_version',
  'general.architecture',
])

/** Cases where ours differs on purpose, and why (docs/numerics.md). */
const OURS_DIFFERS: ReadonlyMap<string, string> = new Map()

/** Options of the reference that ours does without: it looks for itself whether there are prediction layers. */
const NOT_NEEDED = new Set(['--no-nextn'])

/** For a model whose tensors another case has too. */
const RESTATED_OUTTYPES = ['f32'] as const

const fixtures = architectureFixtures()
const supported = new Set(supportedArchitectures())

describe('the architecture fixtures', () => {
  it('cover every class that is supported', () => {
    const covered = new Set(fixtures.map((fixture) => fixture.class))
    assert.deepEqual(
      [...supported].filter((name) => !covered.has(name)),
      [],
    )
  })

  it('count what is not supported yet', (t) => {
    const missing = [...new Set(fixtures.filter((fixture) => !supported.has(fixture.class)).map((fixture) => fixture.class))]
    t.diagnostic(`${supported.size} classes supported; ${missing.length} with fixtures are not: ${missing.join(' ')}`)
    assert.ok(fixtures.length > 0)
  })

  it('have the weights that their maker gave them', () => {
    // from fixtures/make/architectures/oracle.py: fill(name, shape, dtype)
    const hex = (dtype: string, name = 'model.layers.0.mlp.up_proj.weight', shape: readonly number[] = [2, 2]): string =>
      Buffer.from(seededTensor(name, shape, dtype)).toString('hex')
    assert.deepEqual(
      [hex('BF16'), hex('F16'), hex('F32'), hex('BF16', 'model.norm.weight', [3]), hex('F32', 'model.norm.weight', [3]), hex('U8')],
      EXPECTED_WEIGHTS,
    )
  })
})

const EXPECTED_WEIGHTS = ['043de4bd9a3dc6bd', '382820afdc2c2eae', 'c04b073de6e3e3bd1a8c9b3d6ab9c5bd', '823f8a3f483f', '2738823f9d698a3ffab2483f', 'a10ecd1d']

describe('every supported architecture against the reference converter', () => {
  for (const fixture of fixtures) {
    const { expected } = fixture
    if (!supported.has(fixture.class) || expected === undefined) continue
    const differs = OURS_DIFFERS.get(fixture.case)
    const options = fixture.flags?.filter((flag) => !NOT_NEEDED.has(flag)) ?? []
    const skip = differs ?? (options.length > 0 ? `needs ${options.join(' ')}` : false)
    it(`${fixture.case} (${expected.gguf}) converts to the same keys and bytes`, { skip, ...todo(fixture) }, async (t) => {
      const folder = workspace(t, 'architecture')
      const model = writeArchitectureModel(folder, fixture)
      for (const outtype of fixture.restated ? RESTATED_OUTTYPES : OUTTYPES) {
        const outfile = join(folder, `${outtype}.gguf`)
        await execute(await planGguf({ model, outtype, outfile, noVocab: true, modelfile: false }), { threads: 1 })
        compare(fixture, expected, outtype, await readGguf(outfile))
      }
    })
  }
})

function todo({ case: name }: ArchitectureFixture): { todo?: string } {
  const missing = ARCHITECTURE_GAPS.get(name)
  return missing === undefined ? {} : { todo: missing }
}

function compare(fixture: ArchitectureFixture, expected: ExpectedFile, outtype: FixtureOuttype, file: GgufFile): void {
  const what = `${fixture.case} as ${outtype}`
  assert.deepEqual(comparedKeys(file.keyValues), keysFor(expected, outtype), `${what}: keys`)
  const tensors = file.tensors.map(({ name, shape, type, bytes }) => ({ name, type, shape: shape.toReversed(), sha: sha256(bytes) }))
  const wanted = expected.outtypes[outtype]
  assert.deepEqual(
    tensors.map(({ name, type, shape }) => [name, shape, type]),
    expected.tensors.map(({ name, shape }, i) => [name, shape, wanted.types[i]]),
    `${what}: names, shapes and types`,
  )
  if (outtype === 'f32') {
    assert.deepEqual(
      tensors.filter(({ sha }, i) => !sha.startsWith(expected.tensors[i]?.digest ?? '-')).map(({ name }) => name),
      [],
      `${what}: tensors with other contents`,
    )
  }
  const lines = tensors.map(({ name, type, shape, sha }) => `${name} ${type.toUpperCase()} ${shape.join(',')} ${sha}`)
  assert.equal(sha256(Buffer.from(lines.join('\n'))).slice(0, 12), wanted.digest, `${what}: contents`)
}

function keysFor(expected: ExpectedFile, outtype: FixtureOuttype): unknown[] {
  const fileType = expected.fileTypes[outtype]
  return expected.keys.map(([key, type, value]) => [key, type, rounded(type, key === 'general.file_type' ? fileType : value)])
}

function comparedKeys(keyValues: readonly KeyValue[]): unknown[] {
  return keyValues
    .filter(({ key }) => !key.startsWith('tokenizer.') && !NOT_COMPARED.has(key))
    .map(({ key, value }) => {
      if (value.type !== 'array') return [key, value.type === 'string' ? 'str' : value.type, plain(value.value)]
      return [key, `${value.items === 'string' ? 'str' : value.items}[]`, Array.from(value.value as ArrayLike<unknown>, plain)]
    })
}

function plain(value: unknown): unknown {
  return typeof value === 'bigint' ? Number(value) : value
}

/** The fixture says the shortest decimal number of an f32, and infinities as text. */
function rounded(type: string, value: unknown): unknown {
  if (!type.startsWith('f32')) return value
  return Array.isArray(value) ? value.map((one) => Math.fround(Number(one))) : Math.fround(Number(value))
}
