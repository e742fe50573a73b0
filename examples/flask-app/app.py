from flask import Flask, jsonify, request

app = Flask(__name__)


@app.get("/")
def index():
    return "hello from Flask\n"


@app.post("/sum")
def add():
    return jsonify(sum=sum(request.get_json()))
