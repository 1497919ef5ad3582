// What the pages do better with script. Without it every page works as it is: nothing here is needed.
'use strict';

(() => {
  const status = document.createElement('p');
  status.className = 'hidden';
  status.setAttribute('role', 'status');
  document.body.append(status);

  // A form is sent once: its button says that it is working, and a second press does nothing. The button is not
  // disabled, because a disabled button would lose the focus and keep its own value out of the form.
  let restore;

  document.addEventListener('submit', (event) => {
    if (restore) {
      event.preventDefault();
      return;
    }
    const button = event.submitter ?? event.target.querySelector('button[type=submit]');
    for (const field of event.target.querySelectorAll('input[data-revealed]')) conceal(field);
    const label = button?.textContent;
    const timer = setTimeout(() => restore?.(), 15_000);
    restore = () => {
      clearTimeout(timer);
      restore = undefined;
      button?.removeAttribute('aria-disabled');
      if (button) button.textContent = label;
      status.textContent = '';
    };
    if (!button?.dataset.busy) return;
    button.setAttribute('aria-disabled', 'true');
    button.textContent = button.dataset.busy;
    status.textContent = button.dataset.busy;
  });

  // The back button may bring this page back as it was left.
  window.addEventListener('pageshow', (event) => {
    if (event.persisted) restore?.();
  });

  // Passwords can be shown.
  const revealOf = new Map();

  for (const button of document.querySelectorAll('[data-reveal]')) {
    const field = document.getElementById(button.dataset.reveal);
    revealOf.set(field, button);
    label(button, button.dataset.show);
    button.hidden = false;
    button.addEventListener('click', () => {
      if (field.type === 'password') {
        field.type = 'text';
        field.dataset.revealed = '';
        label(button, button.dataset.hide);
      } else {
        conceal(field);
      }
    });
  }

  function conceal(field) {
    const button = revealOf.get(field);
    field.type = 'password';
    delete field.dataset.revealed;
    label(button, button.dataset.show);
  }

  function label(button, verb) {
    button.textContent = verb;
    button.setAttribute('aria-label', `${verb} ${button.dataset.what}`);
  }

  // Keys and codes can be copied and kept in a file.
  function linesOf(id) {
    const items = document.querySelectorAll(`#${id} li`);
    return Array.from(items, (item) => `${item.textContent.trim()}\n`).join('');
  }

  function done(button) {
    const label = button.textContent;
    button.textContent = button.dataset.done;
    status.textContent = button.dataset.done;
    setTimeout(() => {
      button.textContent = label;
      status.textContent = '';
    }, 2_000);
  }

  for (const button of document.querySelectorAll('[data-copy], [data-copy-list]')) {
    // Browsers offer the clipboard to https and loopback only.
    if (!navigator.clipboard) continue;
    button.hidden = false;
    button.addEventListener('click', async () => {
      await navigator.clipboard.writeText(button.dataset.copy ?? linesOf(button.dataset.copyList));
      done(button);
    });
  }

  for (const button of document.querySelectorAll('[data-download-list]')) {
    button.hidden = false;
    button.addEventListener('click', () => {
      const link = document.createElement('a');
      link.href = URL.createObjectURL(new Blob([linesOf(button.dataset.downloadList)], { type: 'text/plain' }));
      link.download = button.dataset.file;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1_000);
      done(button);
    });
  }

  // Signed out: on to where the person wanted to go, once the applications' pages are loaded, or take too long.
  const onward = document.querySelector('a[data-continue]');
  if (onward) {
    const frames = Array.from(document.querySelectorAll('iframe'));
    const loaded = Promise.all(frames.map((frame) => new Promise((done) => frame.addEventListener('load', done))));
    const late = new Promise((done) => setTimeout(done, 3_000));
    Promise.race([loaded, late]).then(() => location.replace(onward.href));
  }
})();
