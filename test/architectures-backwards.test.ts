/**
 * The tables of architectures read backwards, on every fixture in .ci/run, which sets EXHAUSTIVE, on some in a quick run: from a GGUF all tensors of the
 * checkpoint come back bit by bit, and an adapter merged into it gives the bytes that converting with the adapter gives.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { describe, it } from 'node:test'
import { waysBackwards, type Backwards } from '../src/architectures/backwards.js'
import { compileArchitecture } from '../src/architectures/compile.js'
import { readHparams } from '../src/architectures/convert.js'
import { matched } from '../src/architectures/match.js'
import { FAMILIES, findArchitecture, supportedArchitectures } from '../src/architectures/registry.js'
import { targetNames } from '../src/architectures/row-unit.js'
import { filledTemplate } from '../src/architectures/templates.js'
import { TRANSFORMS } from '../src/architectures/transforms.js'
import { parseJsonObject } from '../src/core/json.js'
import { textOf } from '../src/core/key-value.js'
import type { Model } from '../src/core/model.js'
import { programShape } from '../src/core/row-program.js'
import { elementCount } from '../src/core/shape.js'
import { execute, planGguf } from '../src/index.js'
import { execute as executePlan } from '../src/engine/execute.js'
import { openGgufModel } from '../src/sources/gguf-model.js'
import { openModel } from '../src/sources/model.js'
import { ARCHITECTURE_GAPS } from './support/architecture-gaps.js'
import { architectureFixtures, writeArchitectureModel } from './support/architecture-fixtures.js'
import { readGguf, type GgufFile } from './support/gguf-file.js'
import { writeGgufLora, type GgufLoraTensor } from './support/gguf-lora-file.js'
import { readSafetensors, valuesOf, type PlainTensor } from './support/plain-tensors.js'
import { handPlan, rows, TOOL } from './support/plans.js'
import { someOf } from './support/quick.js'
import { Seeded } from './support/straight-math.js'
import { writeAdapter } from './support/tiny-models.js'
import { workspace } from './support/workspace.js'

const supported = new Set(supportedArchitectures())
const fixtures = architectureFixtures().filter(
  (fixture) => supported.has(fixture.class) && fixture.expected !== undefined && !fixture.restated && !ARCHITECTURE_GAPS.has(fixture.case),
)

async function convert(model: string, outfile: string, adapters: readonly string[] = []): Promise<string> {
  const ofFolder = model.endsWith('.gguf') ? {} : ({ outtype: 'f32', noVocab: true } as const)
  const plan = await planGguf({ model, outfile, adapters: adapters.map((path) => ({ path })), modelfile: false, receipt: false, ...ofFolder })
  await execute(plan, { threads: 1 })
  return outfile
}

/** All tensors of a way, evaluated: f32 by name. */
async function evaluated(root: string, { tensors }: Backwards): Promise<Map<string, Float32Array>> {
  const all = [...tensors].filter(([, { unit }]) => !unit.changesValues)
  const outputs = all.map(([name, { original }]) => {
    const program = original()
    const { rows: height, cols } = programShape(program)
    return { name, shape: [height, cols], program: rows(program, 'f32') }
  })
  const plan = handPlan(root, outputs)
  await executePlan(plan, TOOL, { threads: 1 })
  const file = readFileSync(join(root, 'out.bin'))
  return new Map(
    plan.tensors.map(({ name, offset, byteLength }) => [name, new Float32Array(new Uint8Array(file.subarray(offset, offset + byteLength)).buffer)]),
  )
}

function waysOf({ gguf, tensors, label }: Model): Backwards[] {
  assert.ok(gguf)
  return [...waysBackwards(textOf(gguf.keyValues, 'general.architecture') ?? '', gguf.keyValues, tensors, label)]
}

interface Expectation {
  /** As the checkpoint has it, and as the row does. */
  readonly stored: string
  readonly name: string
  readonly source: PlainTensor
  readonly targets: readonly string[]
  /** Whether the file has its values. */
  readonly isPlain: boolean
}

/** The checkpoint's tensors under the names of the rows, and what they became. */
async function expectations(model: string): Promise<Expectation[]> {
  const root = parseJsonObject(readFileSync(join(model, 'config.json')), 'config.json')
  const architecture = findArchitecture(root, 'config.json')
  const { tensors } = await openModel(model)
  const { config } = readHparams(architecture, root, 'config.json', tensors)
  return [...readSafetensors(model)].flatMap(([name, source]) => {
    const match = matched(architecture, name, config)
    if (typeof match !== 'object') return []
    const { rule, piece, captures } = match
    if (name.startsWith('classifier.') && architecture.definition.rename?.(name, config) !== name) return [] // BERT's, by labels that the file lacks
    return [
      {
        stored: name,
        name: filledTemplate(rule.pieces[piece]?.[0] ?? '', captures),
        source,
        targets: targetNames(rule, captures.block),
        isPlain: rule.transforms.every((word) => TRANSFORMS[word].undo !== 'changesValues'),
      },
    ]
  })
}

async function checkRebuilt(root: string, base: Model, expected: readonly Expectation[]): Promise<void> {
  const ways = waysOf(base)
  const wrong: string[] = []
  const wanted = ways.map((): Expectation[] => [])
  for (const one of expected) {
    const { stored, name, source, isPlain } = one
    if (!isFloat(source) || !isPlain) continue
    const found = wanted[ways.findIndex((way) => fits(one, way.find(stored)?.tensor.shape ?? []))]
    if (found !== undefined) found.push(one)
    else if (!LOST.some((pattern) => pattern.test(name)))
      wrong.push(`${name} ${source.shape.join()}: ${ways.map((way) => way.find(stored)?.tensor.shape.join() ?? 'not there').join(' / ')}`)
  }
  for (const [i, way] of ways.entries()) {
    const values = wanted[i]?.length === 0 ? undefined : await evaluated(join(root, String(i)), way)
    for (const { stored, name, source } of wanted[i] ?? [])
      if (!sameBits(values?.get(way.find(stored)?.tensor.name ?? '') ?? new Float32Array(), valuesOf(source))) wrong.push(`${name}: other values`)
  }
  assert.deepEqual(wrong, [])
}

/** Of vectors the number of dimensions is not told. */
function fits({ source }: Expectation, shape: readonly number[]): boolean {
  const isVector = shape.length > 0 && shape.filter((size) => size !== 1).length <= 1
  return source.shape.join() === shape.join() || (isVector && elementCount(source.shape) === elementCount(shape))
}

/** What a file does not tell. */
const LOST: readonly RegExp[] = [
  /experts\.(?:gate_up_proj|down_proj)$/, // Qwen3-VL-MoE's stacks lie on the hub the other way round than where transformers 5 saved them
  /position_embeddings\.weight$/, // RoBERTa's first rows, which no token has, are left out
]

function isFloat({ dtype }: PlainTensor): boolean {
  return dtype === 'F32' || dtype === 'F16' || dtype === 'BF16'
}

function sameBits(one: Float32Array, two: Float64Array): boolean {
  const other = Float32Array.from(two)
  return Buffer.compare(Buffer.from(one.buffer), Buffer.from(other.buffer)) === 0
}

/** A low-rank update of every matrix, whatever it is called in the file. */
function adapterFor(root: string, expected: readonly Expectation[]): string {
  const modules: Record<string, [number, number]> = {}
  for (const { stored, source, isPlain } of expected) {
    const [height, width] = source.shape
    const isLinear = isPlain && stored.endsWith('.weight') && source.shape.length === 2 && isFloat(source) && !/emb|wte|wpe|word|shared\.weight/.test(stored)
    if (isLinear && height !== undefined && width !== undefined) modules[stored.slice(0, -'.weight'.length)] = [height, width]
  }
  assert.ok(Object.keys(modules).length > 0)
  return writeAdapter(join(root, 'adapter'), { modules })
}

/** The same by the names of the file, as llama.cpp has LoRAs: stacks of experts too. */
function ggufLoraFor(root: string, { tensors, gguf }: Model, expected: readonly Expectation[]): string {
  const names = new Set(expected.flatMap(({ targets, source, isPlain }) => (isPlain && isFloat(source) ? targets : [])))
  const factors = [...names].flatMap((name, i): GgufLoraTensor[] => {
    const { shape = [] } = tensors.get(name) ?? {}
    const [rows = 0, cols = 0] = shape.slice(-2)
    if (!name.endsWith('.weight') || shape.length < 2 || shape.length > 3 || /embd|types|norm/.test(name)) return []
    const outer = shape.slice(0, -2)
    const factor = (end: string, own: readonly number[], seed: number): GgufLoraTensor => ({
      ...{ name: `${name}.${end}`, shape: [...outer, ...own] },
      values: new Seeded(seed).weights(elementCount([...outer, ...own]), 0.1),
    })
    return [factor('lora_a', [3, cols], 2 * i), factor('lora_b', [rows, 3], 2 * i + 1)]
  })
  return writeGgufLora(join(root, 'lora.gguf'), factors, { architecture: textOf(gguf?.keyValues ?? [], 'general.architecture') ?? '', alpha: 6 })
}

interface Case {
  readonly root: string
  readonly model: string
  /** The GGUF of the model. */
  readonly base: string
}

async function checkMerged({ root, model, base }: Case, adapter: string): Promise<void> {
  const [fused, touched] = [join(root, `${basename(adapter)}-folder.gguf`), join(root, `${basename(adapter)}-gguf.gguf`)]
  const files = [base, await convert(base, touched, [adapter]), await convert(model, fused, [adapter])]
  const [before, back, wanted] = await Promise.all(files.map(readGguf))
  assert.ok(before && back && wanted)
  assert.deepEqual(back.keyValues, before.keyValues)
  const differing = (one: GgufFile, two: GgufFile): string[] =>
    one.tensors.filter(({ bytes }, i) => Buffer.compare(bytes, two.tensors[i]?.bytes ?? Buffer.alloc(0)) !== 0).map(({ name }) => name)
  assert.ok(differing(before, back).length > 0)
  assert.deepEqual(differing(wanted, back), [])
}

describe('the classes of one GGUF architecture', () => {
  it('never have one name for tensors that lie differently: a file does not tell its class', () => {
    const meanings = new Map<string, Set<string>>()
    for (const architecture of FAMILIES.flatMap(compileArchitecture)) {
      for (const { pieces, transforms, roles, suffix } of architecture.rules) {
        for (const [piece, [name]] of pieces.entries()) {
          const key = `${architecture.gguf} ${name} ${roles.join(' ')}${suffix}`
          meanings.set(key, (meanings.get(key) ?? new Set()).add([...transforms, piece].join(' ')))
        }
      }
    }
    assert.deepEqual(
      [...meanings].filter(([, words]) => words.size > 1).map(([name]) => name),
      [],
    )
  })
})

describe('from the f32 GGUF of a model every tensor comes back, and an adapter merges into it as into the folder', () => {
  for (const fixture of someOf(fixtures, 3)) {
    it(fixture.case, async (t) => {
      const root = workspace(t, 'backwards')
      const model = writeArchitectureModel(root, fixture)
      const path = await convert(model, join(root, 'base.gguf'))
      const base = await openGgufModel(path)
      const expected = (await expectations(model)).filter(({ targets }) => targets.every((target) => base.tensors.has(target)))
      await checkRebuilt(root, base, expected)
      const one = { root, model, base: path }
      await checkMerged(one, adapterFor(root, expected))
      await checkMerged(one, ggufLoraFor(root, base, expected))
    })
  }
})
