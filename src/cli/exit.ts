/**
 * The only place that ends a command: errors to one line on stderr and an exit code, signals to a clean stop.
 */
import { CommanderError } from 'commander'
import { CancelledError, printable, ToolkitError, UsageError } from '../core/errors.js'

/** What a command gets to work with. */
export interface CommandContext {
  readonly signal: AbortSignal
}

/**
 * Runs a command and gives its exit code.
 * @param json   errors are written to stdout too, as an event
 * @param debug  the stack is shown
 */
export async function runCommand(run: (context: CommandContext) => Promise<void>, { json, debug }: { json: boolean; debug: boolean }): Promise<number> {
  const controller = new AbortController()
  let signalCode: 130 | 143 | undefined
  const onSignal = (code: 130 | 143) => (): void => {
    signalCode = code
    controller.abort()
  }
  const [interrupt, terminate] = [onSignal(130), onSignal(143)]
  process.on('SIGINT', interrupt)
  process.on('SIGTERM', terminate)
  process.stdout.on('error', endOnBrokenPipe)
  try {
    await run({ signal: controller.signal })
    return 0
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0 // --help, --version
    const known = toolkitError(error, signalCode)
    report(known, { json, debug })
    return known.exitCode
  } finally {
    process.off('SIGINT', interrupt)
    process.off('SIGTERM', terminate)
  }
}

function toolkitError(error: unknown, signalCode: 130 | 143 | undefined): ToolkitError | { code: string; exitCode: number; message: string; stack: string | undefined } {
  if (signalCode !== undefined) return new CancelledError(signalCode)
  if (error instanceof ToolkitError) return error
  if (error instanceof CommanderError) return new UsageError(`${error.message.replace(/^error: /, '').replace(/\s*\n\s*/g, ' ')}. --help shows all options.`)
  const message = error instanceof Error ? error.message : String(error)
  const stack = error instanceof Error ? error.stack : undefined
  return { code: 'E_INTERNAL', exitCode: 1, message: `internal error: ${printable(message)}. This is a bug in lora-to-gguf; please report it with the output of --debug.`, stack }
}

function report(error: ReturnType<typeof toolkitError>, { json, debug }: { json: boolean; debug: boolean }): void {
  process.stderr.write(`error: ${error.message.replace(/\s*[\r\n]+\s*/g, ' ')}\n`)
  if (debug && error.stack !== undefined) process.stderr.write(`${error.stack}\n`)
  if (!json) return
  const place = error instanceof ToolkitError ? error.place : {}
  process.stdout.write(`${JSON.stringify({ event: 'error', code: error.code, exitCode: error.exitCode, ...place, message: error.message })}\n`)
}

// `to-gguf … | head`: the reader has seen enough
function endOnBrokenPipe(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') process.exit(0)
  throw error
}
