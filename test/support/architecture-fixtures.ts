/**
 * fixtures/architectures/*.json: tiny models of every architecture (config, names, shapes, dtypes; the weights follow from
 * the names) and what llama.cpp's converter makes of them. fixtures/make/architectures/pack.py writes them.
 */
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { FIXTURES } from './paths.js'
import { seededTensor, type Fill } from './seeded-weights.js'

export const OUTTYPES = ['f32', 'f16', 'auto', 'q8_0'] as const
export type FixtureOuttype = (typeof OUTTYPES)[number]

export interface ArchitectureFixture {
  readonly case: string
  /** First of `architectures` in config.json. */
  readonly class: string
  /** Whether another case has the same tensors: only config.json says things in another way. */
  readonly restated: boolean
  readonly note?: string
  /** Options that the reference needs for it. */
  readonly flags?: readonly string[]
  /** What the reference says, where it cannot convert the model at all; then nothing is expected. */
  readonly fails?: string
  /** config.json, as it stands in the file. */
  readonly config: string
  /** Further files of the model. */
  readonly files: Readonly<Record<string, string>>
  readonly tensors: readonly SourceRow[]
  readonly expected: ExpectedFile | undefined
}

/** `{0-2}` in a name stands for every number from 0 to 2; without dtype it is BF16. */
type SourceRow = readonly [name: string, shape: readonly number[], dtype?: string, fill?: Fill]

export interface ExpectedFile {
  readonly gguf: string
  /** Every key but the tokenizer's and those that follow from the folder's name, in order, as f32 output has them. */
  readonly keys: readonly (readonly [key: string, type: string, value: unknown])[]
  /** `general.file_type` of each output type; null where the reference writes none. */
  readonly fileTypes: Readonly<Record<FixtureOuttype, number | null>>
  /** In order: GGUF's shape (innermost dimension first) and 12 hexadecimal digits of the sha256 of the f32 contents. */
  readonly tensors: readonly ExpectedTensor[]
  /** For each output type the tensors' types in order, and 12 digits of one digest over names, types, shapes and contents. */
  readonly outtypes: Readonly<Record<FixtureOuttype, { readonly types: readonly string[]; readonly digest: string }>>
}

export interface ExpectedTensor {
  readonly name: string
  readonly shape: readonly number[]
  readonly digest: string
}

interface Stored {
  readonly case: string
  readonly class: string
  readonly like?: string
  readonly note?: string
  readonly flags?: readonly string[]
  readonly fails?: string
  readonly files?: Readonly<Record<string, string>>
  readonly tensors?: readonly SourceRow[]
  readonly gguf?: string
  readonly keys?: ExpectedFile['keys']
  readonly written?: readonly WrittenRow[]
  readonly outtypes?: Readonly<Record<FixtureOuttype, readonly [types: string, digest: string]>>
  readonly fileTypes?: ExpectedFile['fileTypes']
}

type WrittenRow =
  | readonly [name: string, shape: readonly number[], digest: string]
  | { readonly layers: readonly string[]; readonly rows: readonly (readonly [suffix: string, shape: readonly number[]])[]; readonly digests: readonly string[] }

const FOLDER = join(FIXTURES, 'architectures')
const TYPE_OF_LETTER: Readonly<Record<string, string>> = { f: 'f32', h: 'f16', b: 'bf16', q: 'q8_0', m: 'mxfp4', i: 'i32', l: 'i64' }

/** Every case, in the order of their names. */
export function architectureFixtures(): ArchitectureFixture[] {
  const texts = new Map(
    readdirSync(FOLDER)
      .sort()
      .map((file) => [file.replace(/\.json$/, ''), readFileSync(join(FOLDER, file), 'utf8')]),
  )
  const stored = new Map([...texts].map(([name, text]) => [name, JSON.parse(text) as Stored]))
  return [...stored.values()].map((own) => fixture(own, wholeOf(own, stored), rawConfig(texts.get(own.case) ?? '')))
}

/** A key that a variant does not have is as in the case that it is a variant of. */
function wholeOf(own: Stored, stored: ReadonlyMap<string, Stored>): Stored {
  const like = stored.get(own.like ?? '')
  return like === undefined ? own : { ...wholeOf(like, stored), ...own }
}

function fixture(own: Stored, whole: Stored, config: string): ArchitectureFixture {
  const { case: name, class: className, note, flags, files = {}, tensors = [] } = whole
  return {
    case: name,
    class: className,
    restated: own.like !== undefined && own.tensors === undefined && own.outtypes === undefined,
    ...(note === undefined ? {} : { note }),
    ...(flags === undefined ? {} : { flags }),
    ...(own.fails === undefined ? {} : { fails: own.fails }),
    config,
    files,
    tensors,
    expected: own.fails === undefined ? expectedFile(whole) : undefined,
  }
}

/** The text of `config`, which has a line of its own: 10000.0 must stay what it is. */
function rawConfig(file: string): string {
  const line = file.split('\n').find((one) => one.startsWith('  "config": '))
  if (line === undefined) throw new Error('an architecture fixture without config')
  const text = line.slice('  "config": '.length).replace(/,$/, '')
  return text.startsWith('"') ? (JSON.parse(text) as string) : text // text: with Infinity in it, which JSON does not know and Python writes
}

function expectedFile({ gguf, keys, written, outtypes, fileTypes, case: name }: Stored): ExpectedFile {
  if (gguf === undefined || keys === undefined || written === undefined || outtypes === undefined || fileTypes === undefined)
    throw new Error(`${name}: an architecture fixture without expected file`)
  const read = (outtype: FixtureOuttype): { types: string[]; digest: string } => {
    const [types, digest] = outtypes[outtype]
    return { types: spelledTypes(types), digest }
  }
  return {
    gguf,
    keys,
    fileTypes,
    tensors: written.flatMap(writtenTensors),
    outtypes: { f32: read('f32'), f16: read('f16'), auto: read('auto'), q8_0: read('q8_0') },
  }
}

function writtenTensors(row: WrittenRow): ExpectedTensor[] {
  if (!('layers' in row)) return [{ name: row[0], shape: row[1], digest: row[2] }]
  return row.layers.flatMap((layer, i) => {
    const digests = (row.digests[i] ?? '').split(' ')
    return row.rows.map(([suffix, shape], j) => ({ name: layer + suffix, shape, digest: digests[j] ?? '' }))
  })
}

/** `qf4` -> q8_0, f32, f32, f32, f32 */
function spelledTypes(letters: string): string[] {
  return [...letters.matchAll(/([a-z])(\d*)/g)].flatMap(([, letter = '', count = '']) =>
    Array.from({ length: count === '' ? 1 : Number(count) }, () => TYPE_OF_LETTER[letter] ?? letter),
  )
}

/** Writes a case's model, as a user would have it but without tokenizer, to a folder of the case's name. @returns its path */
export function writeArchitectureModel(parent: string, { case: name, config, files, tensors }: ArchitectureFixture): string {
  const folder = join(parent, name)
  for (const [path, text] of Object.entries({ 'config.json': config, ...files })) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
  writeFileSync(join(folder, 'model.safetensors'), safetensors(tensors.flatMap(unfolded)))
  return folder
}

function safetensors(rows: readonly SourceRow[]): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } }
  const parts: Uint8Array[] = []
  let at = 0
  for (const [name, shape, dtype = 'BF16', fill] of rows) {
    const bytes = seededTensor(name, shape, dtype, fill)
    header[name] = { dtype, shape, data_offsets: [at, at + bytes.byteLength] }
    parts.push(bytes)
    at += bytes.byteLength
  }
  const text = JSON.stringify(header)
  const json = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.byteLength))
  return Buffer.concat([length, json, ...parts])
}

function unfolded([template, shape, ...rest]: SourceRow): SourceRow[] {
  const range = /\{(\d+)-(\d+)\}/.exec(template)
  if (range === null) return [[template, shape, ...rest]]
  const [text, first = '', last = ''] = range
  const numbers = Array.from({ length: Number(last) - Number(first) + 1 }, (_, i) => Number(first) + i)
  return numbers.flatMap((number) => unfolded([template.replace(text, String(number)), shape, ...rest]))
}
