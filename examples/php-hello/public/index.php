<?php
header('Content-Type: text/plain; charset=utf-8');
$name = preg_replace('/[^\w-]/', '', $_GET['name'] ?? 'you');
printf("Hello %s, from PHP %s on %s\n", $name, PHP_VERSION, getenv('CANDELA_INSTANCE'));
