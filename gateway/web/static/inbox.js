// Counts down to the deadlines on the page, and sounds, where that is wanted, when an order has come that was not there before.
const { left, over } = document.currentScript.dataset;
const sound = document.getElementById('sound');
const SOON = 120;
let known = null;
let audio = null;
let offset = 0;
let stamp = '';

const spelled = (seconds) => {
  const [hours, minutes, rest] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const two = (number) => String(number).padStart(2, '0');
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
};

const tick = () => {
  const page = document.querySelector('[data-now]');
  if (page && page.dataset.now !== stamp) {
    stamp = page.dataset.now; // The clock of this machine may be wrong; the page says what time it is.
    offset = Date.parse(stamp) - Date.now();
  }
  for (const clock of document.querySelectorAll('[data-until]')) {
    const seconds = Math.round((Date.parse(clock.dataset.until) - Date.now() - offset) / 1000);
    clock.textContent = seconds > 0 ? left.replace("%", spelled(seconds)) : over;
    clock.classList.toggle('bad-text', seconds <= SOON);
  }
};

const beep = () => {
  audio ??= new AudioContext();
  for (const [start, pitch] of [[0, 880], [0.25, 1175]]) {
    const tone = audio.createOscillator();
    const volume = audio.createGain();
    tone.frequency.value = pitch;
    volume.gain.setValueAtTime(0.2, audio.currentTime + start);
    volume.gain.exponentialRampToValueAtTime(0.001, audio.currentTime + start + 0.22);
    tone.connect(volume).connect(audio.destination);
    tone.start(audio.currentTime + start);
    tone.stop(audio.currentTime + start + 0.23);
  }
};

const listen = () => {
  const here = new Set([...document.querySelectorAll('[data-new]')].map((order) => order.dataset.new));
  const fresh = known && [...here].some((order) => !known.has(order));
  known = here;
  if (fresh && sound?.getAttribute('aria-pressed') === 'true') beep();
};

if (sound) {
  const show = (on) => {
    sound.setAttribute('aria-pressed', String(on));
    sound.textContent = on ? sound.dataset.on : sound.dataset.off;
  };
  show(localStorage.getItem('sound') === 'on');
  sound.hidden = false;
  sound.addEventListener('click', () => {
    const on = sound.getAttribute('aria-pressed') !== 'true';
    localStorage.setItem('sound', on ? 'on' : 'off');
    show(on);
    if (on) beep();
  });
}

if (location.hash === '#decline') document.getElementById('decline')?.setAttribute('open', '');
tick();
listen();
setInterval(() => { tick(); listen(); }, 1000);
