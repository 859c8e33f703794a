// Starts `xlmc lsp` for model files.
const { workspace, window } = require('vscode');

let client;

exports.activate = () => {
  let languageclient;
  try {
    languageclient = require('vscode-languageclient/node');
  } catch (_) {
    window.showWarningMessage('xlm: no language server, only highlighting; run `npm install` in the folder of this extension');
    return undefined;
  }
  const settings = workspace.getConfiguration('xlm');
  client = new languageclient.LanguageClient(
    'xlm',
    'xlm',
    { command: settings.get('server'), args: ['lsp'] },
    {
      documentSelector: [{ language: 'xlm' }],
      initializationOptions: { preset: settings.get('preset') },
      synchronize: { configurationSection: 'xlm' },
    },
  );
  return client.start();
};

exports.deactivate = () => client && client.stop();
