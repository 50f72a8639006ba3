/** `npm run build`: what setup does (install when stale, build when a source changed), and a line when there was nothing to do. */
import { say, setup } from './setup.mjs'

await setup()
say('build: dist/ is up to date')
