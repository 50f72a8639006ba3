/** `lora-to-gguf inspect PATH`: what a file or folder is and holds, and whether it obeys the rules of its format. */
import type { Command } from 'commander'
import { inspect } from '../inspect/inspect.js'
import type { Inspection } from '../inspect/inspection.js'
import { printable } from '../core/errors.js'
import type { CommandContext } from './exit.js'
import { newCommand } from './options.js'
import { formatBytes } from './values.js'

interface InspectFlags {
  readonly json?: boolean
  readonly hash?: boolean
}

/** Builds the command. */
export function inspectCommand(_context: CommandContext): Command {
  return newCommand('inspect')
    .description('Shows tensors, metadata and adapter facts of any model file or folder, and checks them.')
    .argument('<path>', 'file or folder')
    .option('--json', 'everything as one JSON document')
    .option('--hash', 'read all data: sha256 of each tensor, and every checksum that the format has')
    .option('--debug', 'show the stack of an error')
    .action(async (path: string, flags: InspectFlags) => {
      const inspection = await inspect(path, { hash: flags.hash ?? false })
      process.stdout.write(flags.json === true ? `${JSON.stringify(inspection)}\n` : describeInspection(inspection))
    })
}

/** An inspection as text. Untrusted names are escaped. */
export function describeInspection(inspection: Inspection): string {
  const { kind, label, files, tensors, metadata, config, notes } = inspection
  const lines = [`${printable(label)}: ${kind}, ${tensors.length} tensors, ${formatBytes(tensors.reduce((sum, { byteLength }) => sum + byteLength, 0))}`]
  for (const { name, byteLength, format } of files) lines.push(`file ${printable(name)}  ${byteLength} bytes  ${format}`)
  if (config !== undefined) for (const [key, value] of Object.entries(config)) if (value !== undefined) lines.push(`config ${key}: ${printable(String(value))}`)
  for (const { key, type, value, length } of metadata) {
    lines.push(`metadata ${printable(key)} (${type}${length === undefined ? '' : `, ${length} items`}): ${printable(Array.isArray(value) ? value.map(String).join(', ') : String(value))}`)
  }
  for (const { name, dtype, shape, sha256 } of tensors) lines.push(`tensor ${printable(name)}  ${dtype} [${shape.join(', ')}]${sha256 === undefined ? '' : `  ${sha256}`}`)
  lines.push(...notes.map((note) => `note: ${note}`))
  return `${lines.join('\n')}\n`
}
