/** Asks the real llama.cpp: scripts/ask-llama.mjs in a process of its own, so that a crash of native code fails one test, not the run. */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { PROJECT } from './paths.js'

export interface Answer {
  readonly text: string
  /** the model itself ended its answer (an end-of-generation token), it was not cut */
  readonly stopped: boolean
}

type Reply = { readonly available: true; readonly answers: readonly Answer[] } | { readonly available: false; readonly why: string }

/** For `{ skip }`: false where llama.cpp runs here, else the reason it does not. */
export async function skipWithoutLlama(): Promise<string | false> {
  const reply = await run([], '')
  return reply.available ? false : `llama.cpp has no prebuilt binary that runs here: ${reply.why}`
}

/** Whether node-llama-cpp has a prebuilt binary that runs on this platform. */
export async function llamaAvailable(): Promise<boolean> {
  return (await skipWithoutLlama()) === false
}

/**
 * One answer per prompt, each a conversation of its own, at temperature 0, through the GGUF's own chat template.
 *
 * @throws Error when llama.cpp refuses the file, with what it said
 */
export async function askAll(ggufPath: string, prompts: readonly string[]): Promise<readonly Answer[]> {
  const reply = await run([ggufPath], JSON.stringify(prompts))
  if (!reply.available) throw new Error(reply.why)
  return reply.answers
}

function run(args: readonly string[], input: string): Promise<Reply> {
  const child = spawn(process.execPath, [join(PROJECT, 'scripts', 'ask-llama.mjs'), ...args], { cwd: PROJECT, stdio: ['pipe', 'pipe', 'pipe'] })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  child.stdin.on('error', () => {}) // the child may be done before it has read its input
  child.stdin.end(input)
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      if (code === 0) resolve(JSON.parse(stdout) as Reply)
      else reject(new Error(`llama.cpp on ${args[0]}: exit ${code ?? signal}\n${stderr}`))
    })
  })
}
