/**
 * Adds to package-lock.json the optional packages of other platforms that its packages want but `npm install` could not see (a registry mirror that holds
 * only this platform's binaries leaves them out, and then `npm ci` refuses the lock file, here and everywhere). Run it after `npm install`;
 * test/package.test.ts holds the result. The added rows have no integrity hash, because nobody here has seen the files.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PROJECT, say } from './setup.mjs'

const LOCK = join(PROJECT, 'package-lock.json')

/** Words in the names of platform packages -> what npm calls them. */
const OS = { android: 'android', darwin: 'darwin', mac: 'darwin', freebsd: 'freebsd', linux: 'linux', openharmony: 'openharmony', win: 'win32', win32: 'win32' }
const CPU = { arm: 'arm', armv7l: 'arm', arm64: 'arm64', ia32: 'ia32', ppc64: 'ppc64', riscv64: 'riscv64', s390x: 's390x', x64: 'x64' }
const LIBC = { gnu: 'glibc', gnueabihf: 'glibc', musl: 'musl', musleabihf: 'musl' }

const lock = JSON.parse(readFileSync(LOCK, 'utf8'))
const added = Object.values(lock.packages)
  .flatMap(({ optionalDependencies = {}, dev = false }) => Object.entries(optionalDependencies).map(([name, version]) => ({ name, version, dev })))
  .filter(({ name }) => lock.packages[`node_modules/${name}`] === undefined)
for (const { name, version, dev } of added) lock.packages[`node_modules/${name}`] = { version, ...platform(name), ...(dev ? { dev } : {}), optional: true }
const order = ([a], [b]) => (a < b ? -1 : 1)
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(order))
if (added.length > 0) writeFileSync(LOCK, `${JSON.stringify(lock, null, 2)}\n`)
say(`package-lock.json: ${added.length} optional packages of other platforms added`)

/** `@oxfmt/binding-linux-arm64-musl` -> its os, cpu and libc: npm then leaves it alone where they do not fit. */
function platform(name) {
  const words = name.split('/').at(-1).split('-')
  const pick = (table) => words.filter((word) => Object.hasOwn(table, word)).map((word) => table[word])
  const [os, cpu, libc] = [OS, CPU, LIBC].map(pick)
  if (os.length !== 1 || cpu.length !== 1) throw new Error(`${name}: for which platform is it? Add its words to the tables of scripts/complete-lock.mjs`)
  return { cpu, ...(libc.length > 0 ? { libc } : {}), os }
}
