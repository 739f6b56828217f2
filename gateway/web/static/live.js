// Every few seconds puts the page's new content in place of the old, unless a person is at work in it or has paused it.
const { seconds, address } = document.currentScript.dataset;
const button = document.getElementById('live');

const show = (on) => {
  button.setAttribute('aria-pressed', String(on));
  button.textContent = on ? button.dataset.on : button.dataset.off;
};
const paused = () => {
  const main = document.getElementById('main');
  const focused = main !== document.activeElement && main.contains(document.activeElement);
  return button.getAttribute('aria-pressed') !== 'true' || document.hidden || focused || !getSelection().isCollapsed;
};

const refresh = async () => {
  if (paused()) return;
  const answer = await fetch(address).catch(() => null);
  if (answer?.redirected) location.reload(); // The sign-in is over.
  if (!answer?.ok || answer.redirected) return;
  const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
  if (!paused()) document.getElementById('main').replaceChildren(...page.getElementById('main').childNodes);
};

show(true);
button.hidden = false;
button.addEventListener('click', () => show(button.getAttribute('aria-pressed') !== 'true'));
setInterval(refresh, Number(seconds) * 1000);
