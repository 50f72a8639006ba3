/**
 * The only place that ends a command: errors to one line on stderr and an exit code, signals to a clean stop.
 */
import { CommanderError } from 'commander'
import { CancelledError, ToolkitError, UnsupportedError, UsageError } from '../core/errors.js'
import { LINE_CHARACTERS, LIST_CHARACTERS, oneLine } from './safe-text.js'

/** After a signal a run gets this long to take back what it has written; then the process ends, and its exit hook does it. */
const GRACE_MS = 700

/** What a command gets to work with. */
export interface CommandContext {
  readonly signal: AbortSignal
}

/** How errors are told. */
export interface ErrorForm {
  /** Written to stdout too, as an event. */
  readonly json: boolean
  /** The stack is shown. */
  readonly debug: boolean
}

interface Failure {
  readonly code: string
  readonly exitCode: number
  readonly message: string
  readonly stack?: string | undefined
}

/** Runs a command and gives its exit code. */
export async function runCommand(run: (context: CommandContext) => Promise<void>, form: ErrorForm): Promise<number> {
  const controller = new AbortController()
  let signalCode: 130 | 143 | undefined
  let patience: NodeJS.Timeout | undefined
  const onSignal = (code: 130 | 143) => (): void => {
    if (signalCode !== undefined) endNow(signalCode, form) // asked twice
    signalCode = code
    controller.abort()
    patience = setTimeout(() => endNow(code, form), GRACE_MS)
  }
  const [interrupt, terminate] = [onSignal(130), onSignal(143)]
  process.on('SIGINT', interrupt)
  process.on('SIGTERM', terminate)
  outliveReaders()
  try {
    await run({ signal: controller.signal })
    return 0
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0 // --help, --version
    const failure = signalCode === undefined ? failureOf(error) : new CancelledError(signalCode)
    report(failure, form)
    return failure.exitCode
  } finally {
    clearTimeout(patience)
    process.off('SIGINT', interrupt)
    process.off('SIGTERM', terminate)
  }
}

function endNow(code: 130 | 143, form: ErrorForm): never {
  report(new CancelledError(code), form)
  process.exit(code) // the atomic writer's exit hook removes what is unfinished
}

function failureOf(error: unknown): Failure {
  if (error instanceof ToolkitError) return error
  if (error instanceof CommanderError) return new UsageError(oneLine(`${sentence(error.message.replace(/^error: /, ''))} --help shows all options.`))
  const { message, stack } = error instanceof Error ? error : { message: String(error), stack: undefined }
  return {
    code: 'E_INTERNAL',
    exitCode: 1,
    message: `internal error: ${sentence(message)} This is a bug in lora-to-gguf; please report it with the output of --debug.`,
    stack,
  }
}

function report(failure: Failure, { json, debug }: ErrorForm): void {
  const mayList = failure instanceof UsageError || failure instanceof UnsupportedError
  process.stderr.write(`error: ${oneLine(failure.message, mayList ? LIST_CHARACTERS : LINE_CHARACTERS)}\n`)
  if (debug && failure.stack !== undefined) process.stderr.write(`${failure.stack}\n`)
  if (!json) return
  const place = failure instanceof ToolkitError ? failure.place : {}
  process.stdout.write(`${JSON.stringify({ event: 'error', code: failure.code, exitCode: failure.exitCode, ...place, message: failure.message })}\n`)
}

function sentence(text: string): string {
  return /[.?!)]$/.test(text) ? text : `${text}.`
}

/** `to-gguf … | head`: a reader that has seen enough closes the pipe; the work goes on, for the file is what was asked for. */
function outliveReaders(): void {
  for (const stream of [process.stdout, process.stderr]) {
    if (!stream.listeners('error').includes(ignoreBrokenPipe)) stream.on('error', ignoreBrokenPipe)
  }
}

function ignoreBrokenPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error
}
