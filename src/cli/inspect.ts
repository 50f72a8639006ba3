/** `lora-to-gguf inspect PATH`: what a file or folder is and holds, and whether it obeys the rules of its format. */
import type { Command } from 'commander'
import type { Inspection } from '../inspect/inspection.js'
import type { CommandContext } from './exit.js'
import { newCommand } from './options.js'
import { safeText } from './safe-text.js'
import { formatBytes } from './values.js'

interface InspectFlags {
  readonly json?: boolean
  readonly hash?: boolean
}

type Facts = NonNullable<Inspection['adapter']>
type Fact = Facts[string]

const SHOWN_CHARACTERS = 400 // of a metadata value: chat templates have thousands

/** Builds the command. */
export function inspectCommand(_context: CommandContext): Command {
  return newCommand('inspect')
    .description('Shows tensors, metadata and adapter facts of any model file or folder, and checks them.')
    .argument('<path>', 'file or folder')
    .option('--json', 'everything as one JSON document')
    .option('--hash', 'read all data: sha256 of each tensor, and every checksum that the format has')
    .option('--debug', 'show the stack of an error')
    .action(async (path: string, flags: InspectFlags) => {
      const { inspect } = await import('../inspect/inspect.js')
      const inspection = await inspect(path, { hash: flags.hash ?? false })
      process.stdout.write(flags.json === true ? `${JSON.stringify(inspection)}\n` : describeInspection(inspection))
    })
}

/** An inspection as text, one fact a line. */
export function describeInspection(inspection: Inspection): string {
  const { kind, label, files, tensors, config, adapter, notes } = inspection
  const lines = [`${label}: ${kind}, ${tensors.length} tensors, ${formatBytes(tensors.reduce((sum, { byteLength }) => sum + byteLength, 0))}`]
  for (const { name, byteLength, format } of files) lines.push(`file ${name}  ${byteLength} bytes  ${format}`)
  for (const [key, value] of Object.entries(config ?? {})) if (value !== undefined) lines.push(`config ${key}: ${String(value)}`)
  if (adapter !== undefined) lines.push(...adapterLines(adapter))
  lines.push(...metadataLines(inspection))
  for (const { name, dtype, shape, sha256 } of tensors) lines.push(`tensor ${name}  ${dtype} [${shape.join(', ')}]${sha256 === undefined ? '' : `  ${sha256}`}`)
  lines.push(...notes.map((note) => `note: ${note}`))
  return `${lines.map(safeText).join('\n')}\n`
}

/** What holds for the whole adapter, then a line for each module with the scale that its product is added with. */
function adapterLines({ modules, ...whole }: Facts): string[] {
  const lines = Object.entries(whole).map(([key, value]) => `adapter ${key}: ${factText(value)}`)
  for (const module of isFactList(modules) ? modules : []) lines.push(`module ${isFacts(module) ? moduleText(module) : factText(module)}`)
  return lines
}

/** `model.layers.0.mlp.down_proj  256 x 512, rank 8, alpha 16, scale 2, dtype F32`. */
function moduleText({ module, in: columns, out: rows, ...rest }: Facts): string {
  const size = columns === undefined || rows === undefined ? [] : [`${factText(rows)} x ${factText(columns)}`]
  return `${factText(module)}  ${[...size, ...Object.entries(rest).map(([key, value]) => `${key} ${factText(value)}`)].join(', ')}`
}

function factText(fact: Fact | undefined): string {
  if (typeof fact === 'number') return String(Number(fact.toPrecision(7))) // scales are f32
  if (isFactList(fact)) return fact.map(factText).join(', ')
  return typeof fact === 'object' && fact !== null ? JSON.stringify(fact) : String(fact ?? 'not said')
}

function isFactList(fact: Fact | undefined): fact is readonly Fact[] {
  return Array.isArray(fact)
}

function isFacts(fact: Fact): fact is Facts {
  return typeof fact === 'object' && fact !== null && !isFactList(fact)
}

/** With the file's name where several files have metadata: each shard has its own. */
function metadataLines({ metadata }: Inspection): string[] {
  const several = new Set(metadata.map(({ file }) => file)).size > 1
  return metadata.map(({ file, key, type, value, length }) => {
    const text = Array.isArray(value) ? value.map(String).join(', ') + (length !== undefined && length > value.length ? ', …' : '') : String(value)
    const shown = text.length <= SHOWN_CHARACTERS ? text : `${text.slice(0, SHOWN_CHARACTERS)}… (${text.length} characters)`
    return `metadata ${several ? `${file}: ` : ''}${key} (${type}${length === undefined ? '' : `, ${length} items`}): ${shown}`
  })
}
