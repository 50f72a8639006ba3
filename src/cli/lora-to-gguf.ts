/** `lora-to-gguf merge|convert|inspect`: all programs under one name, so that `npx lora-to-gguf` works. */
import type { Command } from 'commander'
import { quoted, UsageError } from '../core/errors.js'
import type { CommandContext } from './exit.js'
import { inspectCommand } from './inspect.js'
import { loraMerge } from './lora-merge.js'
import { newCommand } from './options.js'
import { toGguf } from './to-gguf.js'

/** Builds the command. */
export function loraToGguf(context: CommandContext): Command {
  const command = newCommand('lora-to-gguf')
    .description('LoRA adapter and base model in, GGUF that answers in Ollama out.')
    .option('--verbose', 'with --version: print the revisions of the reference tools too')
  command.addCommand(loraMerge(context, 'merge'))
  command.addCommand(toGguf(context, 'convert'))
  command.addCommand(inspectCommand(context))
  return command.allowExcessArguments().action(() => {
    const [typed] = command.args
    if (typed !== undefined && typed !== 'help') throw new UsageError(`${quoted(typed)} is no command; merge, convert and inspect are. --help shows them.`)
    command.help()
  })
}
