/** Runs one of the commands as a child process and tells how long it took and how much memory it had at its highest. */
import { spawn } from 'node:child_process'
import { isAbsolute, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { PROJECT } from './setup.mjs'

const PEAK_REPORTER = join(PROJECT, 'scripts', 'report-peak.mjs')

/**
 * @param command  'lora-merge', 'to-gguf' or 'lora-to-gguf'; or the absolute path of any script
 * @returns {Promise<{ code: number | null, signal: string | null, seconds: number, peakBytes: number, stdout: string, stderr: string }>}
 *   seconds: wall time from start to exit, Node's own start included. peakBytes: resident set of the whole process with its workers; 0 when it was killed
 */
export function runMeasured(command, args, options = {}) {
  const script = isAbsolute(command) ? command : join(PROJECT, 'bin', `${command}.js`)
  const started = performance.now()
  const child = spawn(process.execPath, ['--import', pathToFileURL(PEAK_REPORTER).href, script, ...args], {
    cwd: PROJECT,
    ...options,
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  })
  const texts = [1, 2, 3].map((fd) => {
    const text = { value: '' }
    child.stdio[fd].setEncoding('utf8').on('data', (chunk) => (text.value += chunk))
    return text
  })
  let seconds = 0
  child.on('exit', () => (seconds = (performance.now() - started) / 1000))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      const [stdout, stderr, peak] = texts.map(({ value }) => value)
      resolve({ code, signal, seconds, peakBytes: Number(peak), stdout, stderr })
    })
  })
}

/** `5.1 MB`: decimal units, as file managers and disks count. */
export function megabytes(bytes) {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(2)} GB` : `${(bytes / 1e6).toFixed(1)} MB`
}
