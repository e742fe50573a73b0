import './style.css';

document.querySelector('#greeting').textContent = `hello from ${location.host}`;
