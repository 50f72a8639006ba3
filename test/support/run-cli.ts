/** Runs the built commands as a user would: a process of their own, from bin/. */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { PROJECT } from './paths.js'

export type Command = 'lora-merge' | 'to-gguf' | 'lora-to-gguf'

export interface CliResult {
  /** exit code; null when a signal ended the process */
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/**
 * Runs a command to its end. Never rejects because of what the command does; a test looks at `code`.
 *
 * @param args     as typed; nothing passes through a shell
 * @param options  cwd: the folder it runs in (default: the project). env: added to the caller's environment, undefined removes a name
 */
export function runCli(
  command: Command,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<CliResult> {
  const child = spawn(process.execPath, [join(PROJECT, 'bin', `${command}.js`), ...args], {
    cwd: options.cwd ?? PROJECT,
    env: { ...process.env, NO_COLOR: '1', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const stdout: Buffer[] = []
  const stderr: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ code, signal, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() }))
  })
}

/** Runs a command that must succeed: throws with what it printed when it does not. */
export async function runCliOk(command: Command, args: readonly string[], options: Parameters<typeof runCli>[2] = {}): Promise<CliResult> {
  const result = await runCli(command, args, options)
  if (result.code !== 0) throw new Error(`${command} ${args.join(' ')}: exit ${result.code ?? result.signal}\n${result.stderr}${result.stdout}`)
  return result
}
