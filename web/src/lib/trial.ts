// Places in a trial by the names of channels and by seconds.
import type { RunShown } from "./api";
import { seconds } from "./numbers";

/** The second at which a sample was taken. */
export function secondsAt(run: RunShown, sample: number): string {
  const { window_s, sampling_rate_hz } = run.trial!;
  return seconds(window_s[0]! + sample / sampling_rate_hz);
}

/** A number of the recording: (1, channel, sample). */
export function recorded(run: RunShown, index: number[]): string {
  const [row = 0, sample = 0] = index.slice(-2);
  return `${run.trial!.channels[row]} at ${secondsAt(run, sample)}`;
}
