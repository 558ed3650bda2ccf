export { PROFILES, type ProfileName } from './profiles.ts';
export {
  type DemoRequest,
  type SynthesisRequest,
  synthesize,
  synthesizeDemo,
} from './synthesize.ts';
