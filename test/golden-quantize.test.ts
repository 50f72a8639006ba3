/** Whole quantized GGUF files, byte for byte, against those that llama-quantize, llama-gguf-split and the converter made of the same models. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { after, describe, it } from 'node:test'
import { supportedArchitectures } from '../src/architectures/registry.js'
import { toGguf } from '../src/cli/to-gguf.js'
import { UnsupportedError, UsageError } from '../src/core/errors.js'
import { isAnyFileType, normalTypeName } from '../src/quantize/file-types.js'
import { DIFFERENT_KEYS } from './support/golden-differences.js'
import { GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'
import { removeWorkspace } from './support/workspace.js'

interface Wanted {
  readonly fileSize: number
  readonly fileSha256: string
}

interface Case {
  readonly inputDir?: string
  readonly preOverride?: string | null
  readonly quantize?: Readonly<Record<string, Wanted>>
}

const folder = mkdtempSync(join(tmpdir(), 'l2g-golden-quantize-'))
after(() => removeWorkspace(folder))
let count = 0

/** The command as it is typed, in this process. */
async function run(args: readonly string[]): Promise<void> {
  await toGguf({ signal: new AbortController().signal }).parseAsync([...args, '--quiet', '--no-modelfile', '--no-receipt'], { from: 'user' })
}

/** Runs the command into a new file. @returns its path */
async function made(...args: readonly string[]): Promise<string> {
  const path = join(folder, `${count++}.gguf`)
  await run([...args, '--outfile', path])
  return path
}

function assertFile(path: string, { fileSize, fileSha256 }: Wanted): void {
  const bytes = readFileSync(path)
  assert.equal(bytes.byteLength, fileSize)
  assert.equal(createHash('sha256').update(bytes).digest('hex'), fileSha256)
}

/** The parts that lie under the stem of `path`. */
function assertParts(path: string, parts: Readonly<Record<string, Wanted>>): void {
  for (const [name, wanted] of Object.entries(parts)) {
    const suffix = /-\d{5}-of-\d{5}\.gguf$/.exec(name)?.[0] ?? assert.fail(name)
    assertFile(path.replace(/\.gguf$/, suffix), wanted)
  }
  assert.ok(Object.keys(parts).length > 1)
  assert.ok(!existsSync(path))
}

function readJson(...path: readonly string[]): unknown {
  return JSON.parse(readFileSync(join(...path), 'utf8'))
}

/** Our own GGUF of a golden folder, made once for each type: the reference's bytes, as golden-gguf.test.ts holds. */
const converted = new Map<string, Promise<string>>()
function convertedCase(root: string, outtype: string): Promise<string> {
  const key = `${root} ${outtype}`
  const { inputDir = '', preOverride } = readJson(root, 'expected.json') as Case
  const known = converted.get(key) ?? made(join(root, inputDir), '--outtype', outtype, ...(typeof preOverride === 'string' ? ['--pre', preOverride] : []))
  converted.set(key, known)
  return known
}

/** Cases whose architecture converts. */
function casesIn(root: string | undefined): string[] {
  if (root === undefined) return []
  const kinds = ['gguf', 'gguf-large'].map((kind) => join(root, kind)).filter((kind) => existsSync(kind))
  const cases = kinds.flatMap((kind) => readdirSync(kind).map((name) => join(kind, name)))
  return cases.filter((path) => existsSync(join(path, 'expected.json')) && converts(path)).sort()
}

function converts(root: string): boolean {
  const { inputDir } = readJson(root, 'expected.json') as Case
  if (inputDir === undefined || !existsSync(join(root, inputDir, 'config.json'))) return false
  const { architectures = [] } = readJson(root, inputDir, 'config.json') as { architectures?: readonly string[] }
  return supportedArchitectures().includes(architectures[0] ?? '')
}

function quantizesAll(root: string): void {
  const { quantize = {} } = readJson(root, 'expected.json') as Case
  for (const [type, wanted] of Object.entries(quantize))
    it(`writes llama-quantize’s bytes for ${root.split(/[\\/]/).at(-1)} as ${type}`, async () => {
      const path = await made(await convertedCase(root, 'f16'), '--outtype', type)
      if (DIFFERENT_KEYS.has(basename(root))) assert.equal(readFileSync(path).byteLength, wanted.fileSize) // golden-gguf.test.ts says what differs
      else assertFile(path, wanted)
    })
}

describe('quantized golden files', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  for (const root of casesIn(GOLDEN)) quantizesAll(root)
})

describe('options of llama-quantize', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  if (GOLDEN === undefined) return
  const gguf = join(GOLDEN, 'gguf')
  const [llama, sharded, qwen2, moe] = ['llama', 'llama-sharded', 'qwen2', 'qwen3_moe'].map((name) => join(gguf, name)) as [string, string, string, string]
  const bases: Readonly<Record<string, readonly [root: string, outtype: string]>> = {
    ...Object.fromEntries(['f16', 'f32', 'bf16', 'q8_0'].map((outtype) => [outtype, [llama, outtype]])),
    sharded12: [sharded, 'f16'],
    qwen2: [qwen2, 'f16'],
    moe: [moe, 'f16'],
  }
  const expected = readJson(gguf, 'quantize-options', 'expected.json') as {
    readonly results: Readonly<Record<string, Wanted & { readonly base: string; readonly args: readonly string[]; readonly ftype: string }>>
    readonly 'keepSplit q4_K_M': Readonly<Record<string, Wanted>>
    readonly 'ggufSplit tensors=8': Readonly<Record<string, Wanted>>
    readonly 'ggufSplit size=1M no-tensor-first': Readonly<Record<string, Wanted>>
    readonly 'ggufSplit merge': Wanted
  }

  for (const [name, wanted] of Object.entries(expected.results)) {
    const [root, outtype] = bases[wanted.base] ?? assert.fail(wanted.base)
    if (!converts(root)) continue
    if (wanted.ftype !== 'COPY' && !isAnyFileType(normalTypeName(wanted.ftype))) {
      it(`refuse the type of "${name}", naming the nearest`, async () => {
        await assert.rejects(made(await convertedCase(root, outtype), '--outtype', wanted.ftype, ...wanted.args), UnsupportedError)
      })
      continue
    }
    it(`give the bytes of "${name}"`, async () => {
      assertFile(await made(await convertedCase(root, outtype), '--outtype', wanted.ftype, ...wanted.args), wanted)
    })
  }

  it('give the bytes of --tensor-type when the rules stand in a file', async () => {
    const wanted = expected.results['tensor-type'] ?? assert.fail()
    const rules = join(folder, 'rules.txt')
    writeFileSync(rules, wanted.args.filter((arg) => !arg.startsWith('--')).join('\n'))
    assertFile(await made(await convertedCase(llama, 'f16'), '--outtype', wanted.ftype, '--tensor-type-file', rules), wanted)
  })

  it('refuse what llama-quantize refuses: requantizing without leave, q2_k_s without importance', async () => {
    await assert.rejects(made(await convertedCase(llama, 'q8_0'), '--outtype', 'q4_k_m'), UsageError)
    await assert.rejects(made(await convertedCase(llama, 'f16'), '--outtype', 'q2_k_s'), UsageError)
  })

  it('split as llama-gguf-split does, by tensors and by size', async () => {
    const base = await convertedCase(llama, 'f16')
    assertParts(await made(base, '--split-max-tensors', '8'), expected['ggufSplit tensors=8'])
    assertParts(await made(base, '--split-max-size', '1M', '--no-tensor-first-split'), expected['ggufSplit size=1M no-tensor-first'])
  })

  it('join as llama-gguf-split does, whichever part is named', async () => {
    const split = await made(await convertedCase(llama, 'f16'), '--split-max-tensors', '8')
    for (const number of [1, 2, 3]) assertFile(await made(split.replace('.gguf', `-0000${number}-of-00003.gguf`)), expected['ggufSplit merge'])
  })

  it('keep the parts of a split file with --keep-split', async () => {
    const split = await made(await convertedCase(llama, 'f16'), '--split-max-tensors', '8')
    const first = split.replace('.gguf', '-00001-of-00003.gguf')
    assertParts(await made(first, '--outtype', 'q4_k_m', '--keep-split'), expected['keepSplit q4_K_M'])
  })
})

describe('llama-quantize with an importance matrix', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  if (GOLDEN === undefined) return
  const home = join(GOLDEN, 'gguf', 'imatrix-llama')
  const { baseCase, results } = readJson(home, 'expected.json') as { readonly baseCase: string; readonly results: Readonly<Record<string, Wanted>> }
  for (const [typed, wanted] of Object.entries(results)) {
    const [type = '', ...options] = typed.split(' ')
    const isOurs = isAnyFileType(normalTypeName(type))
    it(isOurs ? `gives the bytes of ${typed}` : `refuses ${typed}, naming the nearest`, async () => {
      const base = await convertedCase(join(home, '..', baseCase), 'f16')
      const before = process.cwd()
      process.chdir(home) // the name of the matrix is part of the file, as it was typed
      try {
        const file = made(base, '--outtype', type, '--imatrix', 'imatrix.gguf', ...options)
        if (isOurs) assertFile(await file, wanted)
        else await assert.rejects(file, UnsupportedError)
      } finally {
        process.chdir(before)
      }
    })
  }
})

describe('options of the converter', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  if (GOLDEN === undefined) return
  const gguf = join(GOLDEN, 'gguf')
  const { inputDir = '' } = readJson(gguf, 'llama', 'expected.json') as Case
  const model = join(gguf, 'llama', inputDir)
  const { results } = readJson(gguf, 'convert-options', 'expected.json') as {
    readonly results: Readonly<Record<string, { readonly args: readonly string[]; readonly files: Readonly<Record<string, Wanted>> }>>
  }

  for (const name of ['split tensors 5', 'split size 1M', 'split no-tensor-first', 'tq1_0', 'tq2_0', 'model-name', 'vocab-only', 'template']) {
    it(`give the bytes of "${name}"`, async () => {
      const { args, files } = results[name] ?? assert.fail(name)
      const path = await made(model, ...args)
      const [wanted, ...more] = Object.values(files)
      if (more.length > 0) assertParts(path, files)
      else assertFile(path, wanted ?? assert.fail(name))
    })
  }
})
