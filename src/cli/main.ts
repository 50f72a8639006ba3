/** Entry of every command: typed words in, exit code out. */
import type { Command } from 'commander'
import { runCommand, type CommandContext } from './exit.js'
import { kebabCase } from './options.js'

/**
 * @param build  makes the command
 * @param args   without node and script
 */
export function main(build: (context: CommandContext) => Command, args: readonly string[]): Promise<number> {
  const flags = { json: args.includes('--json'), debug: args.includes('--debug') }
  return runCommand(async (context) => void (await build(context).parseAsync(kebabCase(args), { from: 'user' })), flags)
}
