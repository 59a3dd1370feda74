// Reliability diagrams and ROC curves.

function reliability(section, table) {
  const rows = table.rows.filter(row => (table.calibration[row.id] || []).length);
  if (!rows.length) return;
  const plan = () => ({
    label: "Accuracy against confidence; arrow keys go along a line and from line to line",
    x: {title: "confidence, %", domain: [0, 100], around: 0.02},
    y: {title: "accuracy, %", domain: [0, 100], around: 0.02},
    diagonal: [[0, 0], [100, 100]],
    series: rows.map(row => ({
      row,
      points: table.calibration[row.id].map(([sure, right]) => [sure * 100, right * 100]),
      says: n => {
        const [sure, right, count] = table.calibration[row.id][n];
        return [`sure to ${written({percent: true}, sure)}, right in ${written({percent: true}, right)}`, `of ${count.toLocaleString("en")} answers`];
      },
    })),
  });
  linePlot(section, "Answers with about the same confidence: how many of them are right. Below the diagonal a model is too sure. All seeds together.", [], {}, plan);
}

function roc(section, table) {
  const rows = table.rows.filter(row => row.id in table.roc);
  if (!rows.length) return;
  const classes = [...new Set(rows.flatMap(row => Object.keys(table.roc[row.id])))].map(Number).sort((a, b) => a - b);
  const values = {of: String(classes[0]), x: "linear"};
  const choices = [
    {key: "of", label: "Class against the rest", options: classes.map(n => [String(n), n < 0 ? "mean of all classes" : table.classes[n]])},
    {key: "x", label: "False positives", options: [["linear", "linear"], ["log", "logarithmic"]]},
  ];
  linePlot(section, "Means over the seeds.", choices, values, ({of, x}) => rocPlan(table, rows, of, x === "log"));
}

function rocPlan(table, rows, of, log) {
  const start = log ? 1 : 0; // a logarithm has no place for 0
  const points = line => line.map((tpr, n) => [table.grid[n] * 100, tpr / 10]).slice(start);
  return {
    label: "True against false positives; arrow keys go along a line and from line to line",
    x: {title: "false positives, %", domain: log ? [0.1, 100] : [0, 100], log, around: 0.02},
    y: {title: "true positives, %", domain: [0, 100], around: 0.02},
    diagonal: log ? null : [[0, 0], [100, 100]],
    series: rows.filter(row => of in table.roc[row.id]).map(row => ({
      row,
      points: [...(log ? [] : [[0, 0]]), ...points(table.roc[row.id][of])],
      says: n => {
        const [fpr, tpr] = [...(log ? [] : [[0, 0]]), ...points(table.roc[row.id][of])][n];
        return [`${digits(tpr)}% found at ${digits(fpr)}% false alarms`];
      },
    })),
  };
}
