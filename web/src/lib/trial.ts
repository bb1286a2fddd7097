// Places in a trial by the names of channels and by seconds.
import type { RunShown } from "./api";
import { seconds, signed } from "./numbers";

const PREFIX = 1e6; // volts are said in millionths

/** A number of the recording with its unit. */
export function recordedSize(value: number, unit: string): string {
  return unit === "V" ? `${signed(value * PREFIX, 3)} µV` : signed(value, 3);
}

/** The second at which a sample was taken. */
export function secondsAt(run: RunShown, sample: number): string {
  const { window_s, sampling_rate_hz } = run.trial!;
  return seconds(window_s[0]! + sample / sampling_rate_hz);
}

/** What was recorded, of a number of the network's input at (1, channel, sample). */
export function beforeScaling(run: RunShown, index: number[], value: number): string {
  const { mean, std, unit } = run.trial!;
  const row = index.at(-2)!;
  return recordedSize(value * std[row]! + mean[row]!, unit);
}

/** A place of the recording: (1, channel, sample). */
export function recorded(run: RunShown, index: number[]): string {
  const [row = 0, sample = 0] = index.slice(-2);
  return `${run.trial!.channels[row]} at ${secondsAt(run, sample)}`;
}
