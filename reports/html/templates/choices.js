// Labelled select boxes above a plot.

function choice(label, options, value, changed) {
  const select = el("select", {onchange: () => changed(select.value)});
  for (const [key, text] of options) select.append(el("option", {value: key}, text));
  select.value = value;
  return el("label", {}, label, select);
}

// A form of select boxes; `choices` are {key, label, options}, of which those with one option are not shown.
function chooser(choices, values, changed) {
  const form = el("form", {class: "choices", onsubmit: event => event.preventDefault()});
  for (const {key, label, options} of choices) {
    if (options.length > 1) {
      form.append(choice(label, options, values[key], value => {
        values[key] = value;
        changed();
      }));
    }
  }
  return form;
}
